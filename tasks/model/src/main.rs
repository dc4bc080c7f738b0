//! Binds the task to its platform.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
use host as platform;
#[cfg(target_os = "none")]
use xen_pv as platform;

platform::main!(model);
