//! The alphabet of the automata: one byte for each scalar value of a text.
//!
//! An ASCII text is its own symbols, so it is never copied. In any other text each scalar
//! outside ASCII becomes one symbol; two of them have a symbol of their own, because case
//! folding (`(?i)k`, `(?i)s`) reaches them from ASCII, and all others share one.

/// Stands for every scalar outside ASCII that has no symbol of its own.
pub const OTHER: u8 = 0x80;
/// U+017F, the long s, which folds to `s`.
pub const LONG_S: u8 = 0x81;
/// U+212A, the Kelvin sign, which folds to `k`.
pub const KELVIN: u8 = 0x82;
/// How many symbols there are.
pub const SYMBOLS: usize = 0x83;

/// The symbol of a scalar.
pub const fn symbol(scalar: char) -> u8 {
    match scalar {
        '\0'..='\x7f' => scalar as u8,
        '\u{17f}' => LONG_S,
        '\u{212a}' => KELVIN,
        _ => OTHER,
    }
}

/// Whether `\b` counts the symbol as part of a word (spec: image-path, "Dialect": ASCII).
pub const fn is_word(symbol: u8) -> bool {
    symbol.is_ascii_alphanumeric() || symbol == b'_'
}
