//! Which addresses are public (IANA special-purpose registries, RFC 6890 and its updates).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not public, or `None` when it is.
pub fn refusal(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => refusal_v4(ip),
        IpAddr::V6(ip) => refusal_v6(ip),
    }
}

/// Base address, prefix length in bits, and what the range is.
const DENIED_V4: [([u8; 4], u32, &str); 16] = [
    ([0, 0, 0, 0], 8, "0.0.0.0/8 is this network"),
    ([10, 0, 0, 0], 8, "10.0.0.0/8 is private"),
    ([100, 64, 0, 0], 10, "100.64.0.0/10 is shared by carriers"),
    ([127, 0, 0, 0], 8, "127.0.0.0/8 is loopback"),
    ([169, 254, 0, 0], 16, "169.254.0.0/16 is link-local"),
    ([172, 16, 0, 0], 12, "172.16.0.0/12 is private"),
    ([192, 0, 0, 0], 24, "192.0.0.0/24 is for protocols"),
    ([192, 0, 2, 0], 24, "192.0.2.0/24 is for documentation"),
    ([192, 88, 99, 0], 24, "192.88.99.0/24 is a relay range"),
    ([192, 168, 0, 0], 16, "192.168.0.0/16 is private"),
    ([198, 18, 0, 0], 15, "198.18.0.0/15 is for benchmarks"),
    (
        [198, 51, 100, 0],
        24,
        "198.51.100.0/24 is for documentation",
    ),
    ([203, 0, 113, 0], 24, "203.0.113.0/24 is for documentation"),
    ([224, 0, 0, 0], 4, "224.0.0.0/4 is multicast"),
    ([240, 0, 0, 0], 4, "240.0.0.0/4 is reserved"),
    ([255, 255, 255, 255], 32, "255.255.255.255 is broadcast"),
];

fn refusal_v4(ip: Ipv4Addr) -> Option<&'static str> {
    let bits = ip.to_bits();
    let denied = DENIED_V4.iter().find(|(base, prefix, _)| {
        let shift = 32 - prefix;
        bits >> shift == Ipv4Addr::from(*base).to_bits() >> shift
    });
    denied.map(|(_, _, reason)| *reason)
}

fn refusal_v6(ip: Ipv6Addr) -> Option<&'static str> {
    let segments = ip.segments();
    let [first, second, ..] = segments;
    // NAT64 carries an IPv4 address in its last 32 bits: that address decides.
    if segments.starts_with(&[0x64, 0xff9b, 0, 0, 0, 0]) {
        return refusal_v4(embedded(ip));
    }
    if let Some(mapped) = ip.to_ipv4_mapped() {
        return refusal_v4(mapped).or(Some("IPv4 in IPv6 is not asked"));
    }
    match first {
        0x2002 => Some("2002::/16 is 6to4"),
        0x2001 if second == 0x0db8 => Some("2001:db8::/32 is for documentation"),
        0x2001 if second < 0x0200 => Some("2001::/23 is for protocols"),
        0x3fff if second < 0x1000 => Some("3fff::/20 is for documentation"),
        _ if first & 0xe000 == 0x2000 => None,
        _ => Some("only 2000::/3 is public"),
    }
}

fn embedded(ip: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = ip.octets();
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENIED: &str = "\
        0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 \
        127.0.0.1 127.255.255.255 169.254.0.0 169.254.169.254 172.16.0.0 172.31.255.255 \
        192.0.0.0 192.0.0.255 192.0.2.1 192.88.99.1 192.168.0.0 192.168.255.255 \
        198.18.0.0 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 \
        240.0.0.1 255.255.255.255 :: ::1 fe80::1 fc00::1 fd12::1 ff02::1 2001:db8::1 \
        2001::1 2002:a00:1:: 64:ff9b::a00:1 64:ff9b::7f00:1 ::ffff:10.0.0.1 \
        ::ffff:8.8.8.8 3fff::1 100::1";

    const PUBLIC: &str = "\
        1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 \
        128.0.0.0 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 \
        192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 \
        2606:4700::1111 2a00:1450::1 64:ff9b::808:808";

    #[test]
    fn every_special_range_is_refused_at_both_ends() {
        assert_eq!(DENIED.split_whitespace().count(), 41);
        for text in DENIED.split_whitespace() {
            assert!(
                refusal(text.parse().unwrap()).is_some(),
                "{text} must be refused"
            );
        }
    }

    #[test]
    fn the_neighbours_of_special_ranges_are_public() {
        assert_eq!(PUBLIC.split_whitespace().count(), 20);
        for text in PUBLIC.split_whitespace() {
            assert_eq!(refusal(text.parse().unwrap()), None, "{text} is public");
        }
    }
}
