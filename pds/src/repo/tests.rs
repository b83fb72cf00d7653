//! Repositories on a real database.

mod crashes;
mod exports;
mod imports;
mod writes;
