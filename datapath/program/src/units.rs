//! The small values programs are made of.

use crate::ProgramError;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The number of a tenant network: its GRE key. Every value is good, 0 included.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Vnet(pub u32);

/// The number of a program. Of two programs with one id, the higher replaces the lower.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// An Ethernet address, six bytes as on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Whether it names one station, and not a group or nobody.
    pub fn is_station(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

/// Whose address a guest may speak in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Speaks {
    /// Any station's but those that another port's program on this host names: a port with a bridge
    /// behind it, whose guests are trusted with each other's addresses. Written `"any"`.
    Any,
    /// Its own only.
    As(Mac),
}

impl fmt::Display for Vnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = ProgramError;

    fn from_str(text: &str) -> Result<Self, ProgramError> {
        let wrong = || ProgramError::NotAMac(text.chars().take(32).collect());
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(wrong)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        if parts.next().is_some() {
            return Err(wrong());
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Mac {
    type Error = ProgramError;

    fn try_from(text: String) -> Result<Self, ProgramError> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl TryFrom<String> for Speaks {
    type Error = ProgramError;

    fn try_from(text: String) -> Result<Self, ProgramError> {
        if text == "any" {
            return Ok(Self::Any);
        }
        let mac: Mac = text.parse()?;
        if mac.is_station() {
            Ok(Self::As(mac))
        } else {
            Err(ProgramError::NotAStation(mac))
        }
    }
}

impl From<Speaks> for String {
    fn from(speaks: Speaks) -> Self {
        match speaks {
            Speaks::Any => "any".to_owned(),
            Speaks::As(mac) => mac.to_string(),
        }
    }
}

/// An IP address, or all that start alike: `"10.1.1.5"`, `"10.1.1.0/24"`, `"2001:db8::/64"`.
/// Bits behind the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    address: IpAddr,
    len: u8,
}

impl Prefix {
    /// The first address of it.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many bits all its addresses share: 0 to 32, or to 128.
    #[allow(clippy::len_without_is_empty)] // it counts bits
    pub fn len(&self) -> u8 {
        self.len
    }

    /// Whether it is one address.
    pub fn is_one(&self) -> bool {
        *self == Self::from(self.address)
    }

    /// Whether `address` is one of it.
    pub fn contains(&self, address: IpAddr) -> bool {
        cut(address, self.len) == Some(self.address)
    }
}

/// `address` with all bits behind the first `len` cleared; none if it has not so many.
fn cut(address: IpAddr, len: u8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => {
            let behind = 32u32.checked_sub(u32::from(len))?;
            let mask = u32::MAX.checked_shl(behind).unwrap_or(0);
            Some(IpAddr::V4((v4.to_bits() & mask).into()))
        }
        IpAddr::V6(v6) => {
            let behind = 128u32.checked_sub(u32::from(len))?;
            let mask = u128::MAX.checked_shl(behind).unwrap_or(0);
            Some(IpAddr::V6((v6.to_bits() & mask).into()))
        }
    }
}

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        let len = if address.is_ipv4() { 32 } else { 128 };
        Self { address, len }
    }
}

impl FromStr for Prefix {
    type Err = ProgramError;

    fn from_str(text: &str) -> Result<Self, ProgramError> {
        let wrong = || ProgramError::NotAPrefix(text.chars().take(64).collect());
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let Some(len) = len else {
            return Ok(address.into());
        };
        let len: u8 = len.parse().map_err(|_| wrong())?;
        // 10.1.1.5/24 may be meant as the one or as the many: it is not guessed.
        if cut(address, len) != Some(address) {
            return Err(wrong());
        }
        Ok(Self { address, len })
    }
}

impl TryFrom<String> for Prefix {
    type Error = ProgramError;

    fn try_from(text: String) -> Result<Self, ProgramError> {
        text.parse()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = Self::from(self.address).len;
        self.address.fmt(f)?;
        if self.len == whole {
            return Ok(());
        }
        write!(f, "/{}", self.len)
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}
