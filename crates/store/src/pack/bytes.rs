//! Values in a BLOB, one behind the other.
//!
//! A BLOB begins with the number of its format, so that a later one can say more. Numbers are LEB128, signed ones
//! zigzag before that, fixed ones eight bytes (little endian), texts and lists preceded by their length. What is
//! read is trusted in nothing: bytes that do not fit are an error, never a panic.

use std::sync::Arc;

use regatta_model::Timestamp;

use super::PackError;

/// The only format so far.
pub(crate) const FORMAT: u8 = 1;

pub(crate) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(crate) fn push_signed(out: &mut Vec<u8>, number: i64) {
    push_number(out, ((number << 1) ^ (number >> 63)) as u64);
}

pub(crate) fn push_fixed(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(&number.to_le_bytes());
}

pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    push_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn push_positions(out: &mut Vec<u8>, positions: &[u16]) {
    push_number(out, positions.len() as u64);
    for &position in positions {
        push_number(out, position.into());
    }
}

/// What is left to read.
pub(crate) struct Unpack<'a>(&'a [u8]);

/// The error about bytes that nobody of ours wrote.
pub(crate) fn damaged() -> PackError {
    PackError::Corrupt("a packed row that cannot be unpacked".into())
}

impl<'a> Unpack<'a> {
    /// After the format.
    pub(crate) fn begin(bytes: &'a [u8]) -> Result<Self, PackError> {
        match bytes.split_first() {
            Some((&FORMAT, rest)) => Ok(Self(rest)),
            _ => Err(damaged()),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], PackError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn number(&mut self) -> Result<u64, PackError> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let (&byte, rest) = self.0.split_first().ok_or_else(damaged)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(shift).ok_or_else(damaged)?;
            if byte < 0x80 {
                return Ok(number);
            }
            shift += 7;
        }
    }

    pub(crate) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, PackError> {
        T::try_from(self.number()?).map_err(|_| damaged())
    }

    pub(crate) fn signed(&mut self) -> Result<i64, PackError> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], PackError> {
        self.take(N)?.try_into().map_err(|_| damaged())
    }

    pub(crate) fn fixed(&mut self) -> Result<i64, PackError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub(crate) fn time(&mut self, there: bool) -> Result<Option<Timestamp>, PackError> {
        if there { Ok(Some(Timestamp(self.fixed()?))) } else { Ok(None) }
    }

    pub(crate) fn text(&mut self) -> Result<Arc<str>, PackError> {
        let length = self.small()?;
        Ok(std::str::from_utf8(self.take(length)?).map_err(|_| damaged())?.into())
    }

    pub(crate) fn positions(&mut self) -> Result<Box<[u16]>, PackError> {
        let length: usize = self.small()?;
        (0..length).map(|_| self.small()).collect()
    }
}
