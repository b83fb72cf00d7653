//! Repositories on a real database.

mod blocks;
mod crashes;
mod exports;
mod imports;
mod writes;
