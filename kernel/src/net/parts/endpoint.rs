//! `smoltcp`'s addresses in the standard library's terms.

use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use smoltcp::wire::{IpAddress, IpEndpoint};

/// The address, of which only one kind is spoken.
pub(crate) fn ipv4(address: IpAddress) -> Ipv4Addr {
    match address {
        IpAddress::Ipv4(address) => address,
        // Compiled in for segmentation offload; the filter hides its frames.
        #[cfg(feature = "segmentation-offload")]
        IpAddress::Ipv6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

/// `smoltcp`'s endpoint in the standard library's terms.
pub(crate) fn socket_address(endpoint: IpEndpoint) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(ipv4(endpoint.addr), endpoint.port))
}
