//! The cache: what is kept, what is not, and for whom.
