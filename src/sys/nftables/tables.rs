//! The two tables of a guard as nf_tables messages: one drops the packets by which a host answers for an address, the
//! other lets them pass and exists as long as a socket. Knows no socket and does not decide which addresses are in them.

use std::net::IpAddr;
use std::time::Duration;

use super::batch::{Attributes, Batch, Kind, request};
use crate::vrrp::Family;

// linux/netfilter/nf_tables.h and linux/netfilter.h
const NFPROTO_ARP: u8 = 3;
const NFPROTO_IPV6: u8 = 10;
const NF_DROP: u32 = 0;
const NFTA_LIST_ELEM: u16 = 1;
pub(super) const NFTA_TABLE_NAME: u16 = 1;
const NFTA_TABLE_FLAGS: u16 = 2;
const NFT_TABLE_F_OWNER: u32 = 2;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_SET_TABLE: u16 = 1;
const NFTA_SET_NAME: u16 = 2;
const NFTA_SET_FLAGS: u16 = 3;
const NFTA_SET_KEY_TYPE: u16 = 4;
const NFTA_SET_KEY_LEN: u16 = 5;
const NFTA_SET_ID: u16 = 10;
const NFTA_SET_GC_INTERVAL: u16 = 12;
const NFT_SET_TIMEOUT: u32 = 0x10;
const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
pub(super) const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_TIMEOUT: u16 = 4;
const NFTA_SET_ELEM_EXPIRATION: u16 = 5;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_PAYLOAD_DREG: u16 = 1;
const NFTA_PAYLOAD_BASE: u16 = 2;
const NFTA_PAYLOAD_OFFSET: u16 = 3;
const NFTA_PAYLOAD_LEN: u16 = 4;
const NFT_PAYLOAD_NETWORK_HEADER: u32 = 1;
const NFT_PAYLOAD_TRANSPORT_HEADER: u32 = 2;
const NFTA_LOOKUP_SET: u16 = 1;
const NFTA_LOOKUP_SREG: u16 = 2;
const NFTA_META_DREG: u16 = 1;
const NFTA_META_KEY: u16 = 2;
const NFTA_META_SREG: u16 = 3;
const NFT_META_MARK: u32 = 3;
const NFT_META_L4PROTO: u32 = 16;
const NFTA_CMP_SREG: u16 = 1;
const NFTA_CMP_OP: u16 = 2;
const NFTA_CMP_DATA: u16 = 3;
const NFT_CMP_EQ: u32 = 0;
const NFT_CMP_NEQ: u32 = 1;
const NFTA_IMMEDIATE_DREG: u16 = 1;
const NFTA_IMMEDIATE_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFT_REG_VERDICT: u32 = 0;
const NFT_REG_1: u32 = 1;

const ICMPV6: u8 = 58;
const NEIGHBOR_SOLICITATION: u8 = 135;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;

/// What the name of every table begins with.
pub(super) const PREFIX: &str = "vrrp-init-";
/// What the name of the second table of a guard ends with.
pub(super) const ALIVE: &str = "-alive";
/// The name of the set in both tables.
const SET: &str = "addresses";
/// The mark of a packet on the way from one table to the other, which removes it: "vrrp".
const MARK: [u8; 4] = 0x7672_7270_u32.to_ne_bytes();
const NO_MARK: [u8; 4] = [0; 4];
/// Later than every well-known priority: no program's own rules see the mark of a packet that comes in.
const ALIVE_PRIORITY: u32 = 1_000;
const GUARD_PRIORITY: u32 = 1_001;
/// In milliseconds. An element that has expired counts for nothing, so the kernel need not look for such every second.
const GC_INTERVAL: u32 = 60_000;

/// The packets by which a host answers for an address, and where the address is in them.
struct Packets {
    hook: Hook,
    /// The ICMPv6 type; `None`: ARP of any kind.
    icmp: Option<u8>,
    header: u32,
    offset: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hook {
    Input,
    Output,
}

/// Requests for the address come in. What goes out with it as the sender's teaches every neighbor that receives it, and
/// this host's requests for others are such packets.
const ARP: &[Packets] = &[
    Packets { hook: Hook::Input, icmp: None, header: NFT_PAYLOAD_NETWORK_HEADER, offset: 24 },
    Packets { hook: Hook::Output, icmp: None, header: NFT_PAYLOAD_NETWORK_HEADER, offset: 14 },
];
const ND: &[Packets] = &[
    Packets {
        hook: Hook::Input,
        icmp: Some(NEIGHBOR_SOLICITATION),
        header: NFT_PAYLOAD_TRANSPORT_HEADER,
        offset: 8,
    },
    Packets {
        hook: Hook::Output,
        icmp: Some(NEIGHBOR_SOLICITATION),
        header: NFT_PAYLOAD_NETWORK_HEADER,
        offset: 8,
    },
    Packets {
        hook: Hook::Output,
        icmp: Some(NEIGHBOR_ADVERTISEMENT),
        header: NFT_PAYLOAD_TRANSPORT_HEADER,
        offset: 8,
    },
];

/// The octets of an address.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The table family: IPv4 addresses are asked for by ARP.
pub(super) const fn protocol(family: Family) -> u8 {
    match family {
        Family::V4 => NFPROTO_ARP,
        Family::V6 => NFPROTO_IPV6,
    }
}

/// The two tables of one family: the guard, `name`, and the one that lets packets pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tables<'a> {
    pub(super) family: Family,
    pub(super) name: &'a str,
}

impl Tables<'_> {
    /// The name of the second one.
    pub(super) fn alive(&self) -> String {
        self.name.to_owned() + ALIVE
    }

    fn packets(&self) -> &'static [Packets] {
        match self.family {
            Family::V4 => ARP,
            Family::V6 => ND,
        }
    }

    /// The table that lets packets for its addresses pass. The kernel removes it when the socket that sends this is
    /// closed.
    pub(super) fn create_alive(&self, batch: &mut Batch) {
        let name = &*self.alive();
        self.table(batch, Kind::NewTable, name, NFT_TABLE_F_OWNER);
        self.set(batch, name, 0);
        self.chains(batch, name, ALIVE_PRIORITY);
        for packets in self.packets() {
            self.rule(batch, name, packets, &|list| {
                set_mark(list, &MARK);
            });
        }
    }

    /// The table that drops packets for its addresses, without an address, in place of one that may be there.
    pub(super) fn create_guard(&self, batch: &mut Batch) {
        // Removing a table that is not there would be an error.
        self.table(batch, Kind::NewTable, self.name, 0);
        self.remove_guard(batch);
        self.table(batch, Kind::NewTable, self.name, 0);
        self.set(batch, self.name, NFT_SET_TIMEOUT);
        self.chains(batch, self.name, GUARD_PRIORITY);
        for packets in self.packets() {
            self.rule(batch, self.name, packets, &|list| {
                meta(list, NFT_META_MARK);
                compare(list, NFT_CMP_NEQ, &MARK);
                drop(list);
            });
            self.rule(batch, self.name, packets, &|list| {
                set_mark(list, &NO_MARK);
            });
        }
    }

    /// Removes the guard, which must be there.
    pub(super) fn remove_guard(&self, batch: &mut Batch) {
        self.table(batch, Kind::DeleteTable, self.name, 0);
    }

    /// Removes both tables, which must be there. Only the socket that created the one that lets packets pass may do so.
    pub(super) fn remove(&self, batch: &mut Batch) {
        self.remove_guard(batch);
        self.table(batch, Kind::DeleteTable, &self.alive(), 0);
    }

    /// Lets packets for these addresses pass.
    pub(super) fn pass(&self, batch: &mut Batch, addresses: &[IpAddr]) {
        self.elements(batch, Kind::NewElements, &self.alive(), &|list| {
            for address in addresses {
                element(list, *address, None);
            }
        });
    }

    /// Drops packets for these addresses for this long. None of them may be in the guard.
    pub(super) fn silence(&self, batch: &mut Batch, addresses: &[(IpAddr, Duration)]) {
        self.elements(batch, Kind::NewElements, self.name, &|list| {
            for (address, time) in addresses {
                element(list, *address, Some(*time));
            }
        });
    }

    /// Drops packets for these addresses no longer. All of them must be in the guard.
    pub(super) fn release(&self, batch: &mut Batch, addresses: &[IpAddr]) {
        self.elements(batch, Kind::DeleteElements, self.name, &|list| {
            for address in addresses {
                element(list, *address, None);
            }
        });
    }

    /// The request for a list of the addresses in the guard.
    pub(super) fn list_elements(&self) -> Vec<u8> {
        request(Kind::GetElements, protocol(self.family), &|message| {
            message.text(NFTA_SET_ELEM_LIST_TABLE, self.name);
            message.text(NFTA_SET_ELEM_LIST_SET, SET);
        })
    }

    fn table(&self, batch: &mut Batch, kind: Kind, name: &str, flags: u32) {
        batch.add(kind, protocol(self.family), &|message| {
            message.text(NFTA_TABLE_NAME, name);
            message.number(NFTA_TABLE_FLAGS, flags);
        });
    }

    fn set(&self, batch: &mut Batch, table: &str, flags: u32) {
        let (length, nft_type) = match self.family {
            Family::V4 => (4, 7),
            Family::V6 => (16, 8),
        };
        batch.add(Kind::NewSet, protocol(self.family), &|message| {
            message.text(NFTA_SET_TABLE, table);
            message.text(NFTA_SET_NAME, SET);
            message.number(NFTA_SET_FLAGS, flags);
            message.number(NFTA_SET_KEY_TYPE, nft_type);
            message.number(NFTA_SET_KEY_LEN, length);
            message.number(NFTA_SET_ID, 1);
            if flags & NFT_SET_TIMEOUT != 0 {
                message.number(NFTA_SET_GC_INTERVAL, GC_INTERVAL);
            }
        });
    }

    fn chains(&self, batch: &mut Batch, table: &str, priority: u32) {
        let numbers = match self.family {
            Family::V4 => [0, 1],
            Family::V6 => [1, 3],
        };
        for (hook, number) in [Hook::Input, Hook::Output].into_iter().zip(numbers) {
            batch.add(Kind::NewChain, protocol(self.family), &|message| {
                message.text(NFTA_CHAIN_TABLE, table);
                message.text(NFTA_CHAIN_NAME, chain(hook));
                message.text(NFTA_CHAIN_TYPE, "filter");
                message.nested(NFTA_CHAIN_HOOK, &|inner| {
                    inner.number(NFTA_HOOK_HOOKNUM, number);
                    inner.number(NFTA_HOOK_PRIORITY, priority);
                });
            });
        }
    }

    /// Does `action` with `packets` for the addresses in the set.
    fn rule(&self, batch: &mut Batch, table: &str, packets: &Packets, action: &dyn Fn(&mut Attributes<'_>)) {
        let Packets { hook, icmp, header, offset } = *packets;
        let length = if self.family == Family::V4 { 4 } else { 16 };
        batch.add(Kind::NewRule, protocol(self.family), &|message| {
            message.text(NFTA_RULE_TABLE, table);
            message.text(NFTA_RULE_CHAIN, chain(hook));
            message.nested(NFTA_RULE_EXPRESSIONS, &|list| {
                if let Some(icmp) = icmp {
                    meta(list, NFT_META_L4PROTO);
                    compare(list, NFT_CMP_EQ, &[ICMPV6]);
                    payload(list, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1);
                    compare(list, NFT_CMP_EQ, &[icmp]);
                }
                payload(list, header, offset, length);
                expression(list, "lookup", &|data| {
                    data.text(NFTA_LOOKUP_SET, SET);
                    data.number(NFTA_LOOKUP_SREG, NFT_REG_1);
                });
                action(list);
            });
        });
    }

    fn elements(&self, batch: &mut Batch, kind: Kind, table: &str, write: &dyn Fn(&mut Attributes<'_>)) {
        batch.add(kind, protocol(self.family), &|message| {
            message.text(NFTA_SET_ELEM_LIST_TABLE, table);
            message.text(NFTA_SET_ELEM_LIST_SET, SET);
            message.nested(NFTA_SET_ELEM_LIST_ELEMENTS, write);
        });
    }
}

const fn chain(hook: Hook) -> &'static str {
    match hook {
        Hook::Input => "input",
        Hook::Output => "output",
    }
}

fn element(list: &mut Attributes<'_>, address: IpAddr, time: Option<Duration>) {
    list.nested(NFTA_LIST_ELEM, &|element| {
        element.nested(NFTA_SET_ELEM_KEY, &|key| key.octets(NFTA_DATA_VALUE, &octets(address)));
        if let Some(time) = time {
            // Zero would mean forever. The kernel restarts an equal timeout only if the expiration is given too.
            let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
            for attribute in [NFTA_SET_ELEM_TIMEOUT, NFTA_SET_ELEM_EXPIRATION] {
                element.octets(attribute, &milliseconds.to_be_bytes());
            }
        }
    });
}

fn expression(list: &mut Attributes<'_>, name: &str, write: &dyn Fn(&mut Attributes<'_>)) {
    list.nested(NFTA_LIST_ELEM, &|expression| {
        expression.text(NFTA_EXPR_NAME, name);
        expression.nested(NFTA_EXPR_DATA, write);
    });
}

fn payload(list: &mut Attributes<'_>, header: u32, offset: u32, length: u32) {
    expression(list, "payload", &|data| {
        data.number(NFTA_PAYLOAD_DREG, NFT_REG_1);
        data.number(NFTA_PAYLOAD_BASE, header);
        data.number(NFTA_PAYLOAD_OFFSET, offset);
        data.number(NFTA_PAYLOAD_LEN, length);
    });
}

fn meta(list: &mut Attributes<'_>, key: u32) {
    expression(list, "meta", &|data| {
        data.number(NFTA_META_DREG, NFT_REG_1);
        data.number(NFTA_META_KEY, key);
    });
}

fn compare(list: &mut Attributes<'_>, operation: u32, value: &[u8]) {
    expression(list, "cmp", &|data| {
        data.number(NFTA_CMP_SREG, NFT_REG_1);
        data.number(NFTA_CMP_OP, operation);
        data.nested(NFTA_CMP_DATA, &|inner| inner.octets(NFTA_DATA_VALUE, value));
    });
}

fn set_mark(list: &mut Attributes<'_>, mark: &[u8]) {
    expression(list, "immediate", &|data| {
        data.number(NFTA_IMMEDIATE_DREG, NFT_REG_1);
        data.nested(NFTA_IMMEDIATE_DATA, &|inner| inner.octets(NFTA_DATA_VALUE, mark));
    });
    expression(list, "meta", &|data| {
        data.number(NFTA_META_KEY, NFT_META_MARK);
        data.number(NFTA_META_SREG, NFT_REG_1);
    });
}

fn drop(list: &mut Attributes<'_>) {
    expression(list, "immediate", &|data| {
        data.number(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
        data.nested(NFTA_IMMEDIATE_DATA, &|inner| {
            inner.nested(NFTA_DATA_VERDICT, &|verdict| verdict.number(NFTA_VERDICT_CODE, NF_DROP));
        });
    });
}
