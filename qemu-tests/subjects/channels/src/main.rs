//! Binds the subject to Xen; elsewhere there are no channels.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
xen_pv::main!(channels);

#[cfg(not(target_os = "none"))]
fn main() {}
