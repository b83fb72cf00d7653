//! The lexicon language, pure: reading schemas, and validating records against them.
