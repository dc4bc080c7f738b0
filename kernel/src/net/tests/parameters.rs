//! The network's parameters, read as a guest reads them.

use alloc::string::{String, ToString};

use crate::net::{Ip, Parameters};
use crate::parameters::Parameters as CommandLine;

fn read(command_line: &str) -> Result<Parameters, String> {
    let mut line = CommandLine::parse(command_line).map_err(|error| error.to_string())?;
    let network = Parameters::read(&mut line).map_err(|error| error.to_string())?;
    line.finish().map_err(|error| error.to_string())?;
    Ok(network)
}

#[test]
fn dhcp_is_the_default() {
    assert_eq!(read(""), Ok(Parameters::default()));
    assert_eq!(read("ip=dhcp"), Ok(Parameters::default()));
}

#[test]
fn a_static_address_has_a_prefix_length() {
    let parameters = read("ip=10.0.0.2/24 gateway=10.0.0.1 dns=9.9.9.9").expect("good parameters");
    assert!(matches!(parameters.ip, Ip::Static(own) if own.to_string() == "10.0.0.2/24"));
    assert_eq!(parameters.gateway, Some([10, 0, 0, 1].into()));
    assert_eq!(parameters.dns, Some([9, 9, 9, 9].into()));
}

#[test]
fn an_address_of_32_bits_has_its_gateway_outside() {
    let parameters = read("ip=10.0.0.2/32 gateway=172.31.1.1").expect("good parameters");
    assert_eq!(parameters.gateway, Some([172, 31, 1, 1].into()));
}

#[test]
fn errors_name_the_key_and_what_is_right() {
    for (command_line, expected) in [
        (
            "ip=10.0.0.2",
            "parameter \"ip\": \"10.0.0.2\" is not dhcp, or an address with its prefix length such as 10.0.0.2/24",
        ),
        (
            "ip=10.0.0.2/33",
            "parameter \"ip\": \"10.0.0.2/33\" is not dhcp, or an address with its prefix length such as 10.0.0.2/24",
        ),
        (
            "ip=224.0.0.1/8",
            "parameter \"ip\": \"224.0.0.1/8\" is not dhcp, or an address with its prefix length such as 10.0.0.2/24",
        ),
        ("gateway=here", "parameter \"gateway\": \"here\" is not an address such as 10.0.0.1"),
        ("dns=0.0.0.0", "parameter \"dns\": \"0.0.0.0\" is not an address such as 10.0.0.1"),
        ("ip=10.0.0.2/24 gateway=10.0.1.1", "parameter \"gateway\": 10.0.1.1 is not inside ip=10.0.0.2/24"),
        ("ip=10.0.0.2/31 gateway=10.0.1.1", "parameter \"gateway\": 10.0.1.1 is not inside ip=10.0.0.2/31"),
        ("dns=127.0.0.1", "parameter \"dns\": \"127.0.0.1\" is not an address such as 10.0.0.1"),
        ("gatway=10.0.0.1", "parameter \"gatway\" is unknown; there are: ip, gateway, dns"),
    ] {
        assert_eq!(read(command_line), Err(expected.to_string()));
    }
}
