//! What operators and their tools do to the process, and what the process writes about itself.

mod log;
mod start_and_stop;
