//! Why bytes are not read.

/// Why bytes are not the header they were taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParseError {
    /// A length or a flag promises bytes that are not there.
    Truncated,
    /// The header may be good, but it asks for what we do not do.
    Unsupported(Unsupported),
    /// The header contradicts itself, or its checksum does not hold.
    Malformed,
}

/// What a header asks for that we do not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unsupported {
    /// GRE bit 1: source routes, which RFC 1701 had and RFC 2784 §2.3 says to discard on.
    GreRouting,
    /// GRE bit 4 or 5: no meaning since RFC 2784 §2.3, which says to discard.
    GreFlags,
    /// A GRE version other than 0; 1 is PPTP's (RFC 2637).
    GreVersion,
    /// An IPv6 packet above 65,535 bytes (RFC 2675).
    Jumbogram,
    /// More IPv6 extension headers than [`MAX_EXTENSIONS`](crate::ipv6::MAX_EXTENSIONS).
    Extensions,
    /// ARP for another hardware than Ethernet, or another protocol than IPv4.
    ArpKind,
    /// An ICMP message that is not the one looked for.
    IcmpKind,
}

impl core::fmt::Display for ParseError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Truncated => "cut short",
            Self::Unsupported(Unsupported::GreRouting) => "GRE with source routes",
            Self::Unsupported(Unsupported::GreFlags) => "GRE with a reserved flag",
            Self::Unsupported(Unsupported::GreVersion) => "GRE of a version other than 0",
            Self::Unsupported(Unsupported::Jumbogram) => "an IPv6 jumbogram",
            Self::Unsupported(Unsupported::Extensions) => "too many IPv6 extension headers",
            Self::Unsupported(Unsupported::ArpKind) => "ARP for other than IPv4 on Ethernet",
            Self::Unsupported(Unsupported::IcmpKind) => "another ICMP message",
            Self::Malformed => "malformed",
        })
    }
}

impl core::error::Error for ParseError {}
