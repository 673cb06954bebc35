//! Health arithmetic.
