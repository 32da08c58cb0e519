//! `caapc scan`: scan results in, and what they say of an image.

pub mod facts;
