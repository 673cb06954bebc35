//! Encodes nf_tables messages, alone and as a transaction. Knows no socket and no rule.

// linux/netlink.h
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
const NLA_F_NESTED: u16 = 0x8000;
const ALIGNMENT: usize = 4;
/// The place of the flags in a message.
const FLAGS: usize = 6;

// linux/netfilter/nfnetlink.h
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFNETLINK_V0: u8 = 0;

/// What a message does (`nf_tables_msg_types`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    NewTable = 0,
    GetTables = 1,
    DeleteTable = 2,
    NewChain = 3,
    NewRule = 6,
    NewSet = 9,
    NewElements = 12,
    GetElements = 13,
    DeleteElements = 14,
}

impl Kind {
    /// The `nlmsg_type`.
    pub(super) const fn message_type(self) -> u16 {
        (NFNL_SUBSYS_NFTABLES << 8) | self as u16
    }

    /// Whether an `nlmsg_type` is one of nf_tables.
    pub(super) const fn is_of_nf_tables(message_type: u16) -> bool {
        message_type >> 8 == NFNL_SUBSYS_NFTABLES
    }

    const fn flags(self) -> u16 {
        match self {
            Self::NewTable | Self::NewChain | Self::NewSet | Self::NewElements => NLM_F_CREATE,
            Self::NewRule => NLM_F_CREATE | NLM_F_APPEND,
            Self::GetTables | Self::GetElements => NLM_F_DUMP,
            Self::DeleteTable | Self::DeleteElements => 0,
        }
    }
}

/// The attributes of a message, or of another attribute.
#[derive(Debug)]
pub(super) struct Attributes<'a>(&'a mut Vec<u8>);

impl Attributes<'_> {
    pub(super) fn octets(&mut self, kind: u16, value: &[u8]) {
        self.attribute(kind, &|inner| inner.0.extend(value));
    }

    /// In network byte order, as almost every number of nf_tables.
    pub(super) fn number(&mut self, kind: u16, value: u32) {
        self.octets(kind, &value.to_be_bytes());
    }

    pub(super) fn text(&mut self, kind: u16, value: &str) {
        self.octets(kind, &[value.as_bytes(), b"\0"].concat());
    }

    pub(super) fn nested(&mut self, kind: u16, write: &dyn Fn(&mut Attributes<'_>)) {
        self.attribute(kind | NLA_F_NESTED, write);
    }

    fn attribute(&mut self, kind: u16, write: &dyn Fn(&mut Attributes<'_>)) {
        let at = self.0.len();
        self.0.extend([[0, 0], kind.to_ne_bytes()].concat());
        write(&mut Attributes(self.0));
        // The lists are divided so that none is longer.
        let length = u16::try_from(self.0.len() - at).unwrap_or(u16::MAX);
        self.0[at..at + 2].copy_from_slice(&length.to_ne_bytes());
        self.0.resize(self.0.len().next_multiple_of(ALIGNMENT), 0);
    }
}

/// The messages of one transaction: the kernel performs all of them or none. Each has its place as its sequence number.
#[derive(Debug)]
pub(super) struct Batch {
    octets: Vec<u8>,
    messages: u32,
    /// Where the last message begins.
    last: usize,
}

impl Batch {
    pub(super) fn new() -> Self {
        let mut batch = Self { octets: vec![], messages: 0, last: 0 };
        batch.message(NFNL_MSG_BATCH_BEGIN, 0, (0, NFNL_SUBSYS_NFTABLES), &|_| {});
        batch
    }

    /// Appends a message about a table of `family` (`NFPROTO_…`).
    pub(super) fn add(&mut self, kind: Kind, family: u8, write: &dyn Fn(&mut Attributes<'_>)) {
        self.message(kind.message_type(), kind.flags(), (family, 0), write);
    }

    fn message(
        &mut self,
        kind: u16,
        flags: u16,
        (family, resource): (u8, u16),
        write: &dyn Fn(&mut Attributes<'_>),
    ) {
        self.last = self.octets.len();
        self.octets.extend([0; 4]);
        self.octets.extend(kind.to_ne_bytes());
        self.octets.extend((flags | NLM_F_REQUEST).to_ne_bytes());
        self.octets.extend(self.messages.to_ne_bytes());
        self.octets.extend([0; 4]);
        self.octets.extend([family, NFNETLINK_V0]);
        self.octets.extend(resource.to_be_bytes());
        write(&mut Attributes(&mut self.octets));
        let length = u32::try_from(self.octets.len() - self.last).unwrap_or(u32::MAX);
        self.octets[self.last..self.last + 4].copy_from_slice(&length.to_ne_bytes());
        self.messages += 1;
    }

    /// The octets, and the number of the last message, which the kernel confirms. Without the end of the transaction the
    /// kernel only examines it.
    pub(super) fn octets(mut self, with_end: bool) -> (Vec<u8>, u32) {
        let (last, flags) = (self.messages - 1, self.last + FLAGS);
        let confirmed = u16::from_ne_bytes([self.octets[flags], self.octets[flags + 1]]) | NLM_F_ACK;
        self.octets[flags..flags + 2].copy_from_slice(&confirmed.to_ne_bytes());
        if with_end {
            self.message(NFNL_MSG_BATCH_END, 0, (0, NFNL_SUBSYS_NFTABLES), &|_| {});
        }
        (self.octets, last)
    }
}

/// One request that is no part of a transaction.
pub(super) fn request(kind: Kind, family: u8, write: &dyn Fn(&mut Attributes<'_>)) -> Vec<u8> {
    let mut batch = Batch { octets: vec![], messages: 0, last: 0 };
    batch.add(kind, family, write);
    batch.octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn a_transaction_has_a_begin_and_an_end_and_confirms_its_last_message() {
        let mut batch = Batch::new();
        batch.add(Kind::NewTable, 3, &|message| {
            message.text(1, "t");
            message.number(2, 2);
        });
        batch.add(Kind::DeleteElements, 10, &|message| {
            message.nested(3, &|list| list.nested(1, &|element| element.octets(1, &[7])));
        });
        #[rustfmt::skip]
        let expected = [
            20, 0, 0, 0,  0x10, 0,  1, 0,  0, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 10,
            36, 0, 0, 0,  0, 10,  1, 4,  1, 0, 0, 0,  0, 0, 0, 0,  3, 0, 0, 0,
            6, 0, 1, 0,  b't', 0, 0, 0,
            8, 0, 2, 0,  0, 0, 0, 2,
            36, 0, 0, 0,  14, 10,  5, 0,  2, 0, 0, 0,  0, 0, 0, 0,  10, 0, 0, 0,
            16, 0, 3, 0x80,  12, 0, 1, 0x80,  5, 0, 1, 0,  7, 0, 0, 0,
            20, 0, 0, 0,  0x11, 0,  1, 0,  3, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 10,
        ];
        assert_eq!(batch.octets(true), (expected.to_vec(), 2));
    }

    #[test]
    fn without_its_end_the_kernel_only_examines_it() {
        let batch = || {
            let mut batch = Batch::new();
            batch.add(Kind::NewSet, 3, &|_| {});
            batch
        };
        let (whole, last) = batch().octets(true);
        assert_eq!(batch().octets(false), (whole[..40].to_vec(), last));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_request_for_a_list_is_no_transaction() {
        let expected = [20, 0, 0, 0, 1, 10, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0];
        assert_eq!(request(Kind::GetTables, 3, &|_| {}), expected);
    }
}
