//! plc: under construction.
