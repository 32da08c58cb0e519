//! Which patterns of a whole set of policies match an image: one pass over the string.
