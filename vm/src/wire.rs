//! Little-endian reading and writing of program bytes, with every read bounded.
//!
//! It knows nothing of programs. Start at [`Reader`].

use std::fmt;

/// Why bytes are not a program: what was being read, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What was being read or checked.
    pub what: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl Fault {
    /// A fault in `what`.
    pub fn new(what: &'static str, why: impl Into<String>) -> Self {
        Self { what, why: why.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for Fault {}

/// Collects bytes.
#[derive(Debug, Default)]
pub struct Writer {
    /// What was written so far.
    pub bytes: Vec<u8>,
}

impl Writer {
    /// Writes one byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Writes two bytes.
    pub fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes four bytes.
    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes eight bytes.
    pub fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes a length and then each item.
    ///
    /// # Panics
    /// Never in practice: tables are bounded far below 2^32 rows.
    pub fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        self.u32(u32::try_from(items.len()).unwrap_or(u32::MAX));
        for one in items {
            item(self, one);
        }
    }

    /// Writes a length and then the bytes.
    pub fn blob(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.bytes.extend_from_slice(bytes);
    }
}

/// Reads what a [`Writer`] wrote; hostile bytes give a [`Fault`], never a panic and never more
/// memory than a small multiple of the bytes themselves.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the first byte on.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Fault> {
        let (head, tail) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| Fault::new(what, "the bytes end too early"))?;
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    /// Reads one byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, Fault> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// Reads two bytes.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, Fault> {
        self.array(what).map(u16::from_le_bytes)
    }

    /// Reads four bytes.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, Fault> {
        self.array(what).map(u32::from_le_bytes)
    }

    /// Reads eight bytes.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, Fault> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// Reads eight bytes.
    pub fn i64(&mut self, what: &'static str) -> Result<i64, Fault> {
        self.array(what).map(i64::from_le_bytes)
    }

    /// Reads a length of at most `max` and then each item; every item takes at least one byte.
    pub fn list<T>(
        &mut self,
        what: &'static str,
        max: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let len = self.u32(what)? as usize;
        if len > max || len > self.left() {
            return Err(Fault::new(what, format!("{len} items; the limit is {max}")));
        }
        (0..len).map(|_| item(self)).collect()
    }

    /// Reads a length of at most `max` and then the bytes.
    pub fn blob(&mut self, what: &'static str, max: usize) -> Result<&'a [u8], Fault> {
        let len = self.u32(what)? as usize;
        if len > max {
            return Err(Fault::new(what, format!("{len} bytes; the limit is {max}")));
        }
        self.take(len, what)
    }

    /// Nothing must be left.
    pub fn end(&self) -> Result<(), Fault> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Fault::new("program", format!("{} bytes too many at the end", self.rest.len())))
        }
    }
}
