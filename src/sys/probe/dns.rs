//! A query of the domain name system for one record, and what comes back, as octets (RFC 1035 §4). Knows no socket.
//!
//! With simple-dns 0.13 in place of these lines, the binary would be 47 KiB larger.

/// Octets of a message before its question.
const HEADER: usize = 12;
/// Of a record after its name: type, class, lifetime and the length of what follows.
const RECORD: usize = 10;

/// A query with this number. `name`: labels of 1 to 63 octets with dots between them, or `.`. `kind`: the type of the record.
pub fn query(id: [u8; 2], name: &str, kind: u16) -> Vec<u8> {
    // With recursion, and one question.
    let mut octets = [&id[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        octets.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        octets.extend(label.as_bytes());
    }
    octets.push(0);
    octets.extend(kind.to_be_bytes());
    // The class IN.
    octets.extend([0, 1]);
    octets
}

/// What a datagram means for a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It does not belong to the query: another number or question, or not an answer at all.
    Foreign,
    /// There is a record, or more than fits into a datagram.
    Record,
    /// The name has no such record.
    NoRecord,
    /// The code of a failure, 1 to 15.
    Failure(u8),
}

/// Judges `datagram` as an answer to `query`, which is one of [`query`].
pub fn answer(query: &[u8], datagram: &[u8]) -> Answer {
    let Some((head, records)) = datagram.split_at_checked(query.len()) else { return Answer::Foreign };
    // A server returns the question as it came; some lower the case of the name. No type is a letter.
    let (header, question) = head.split_at(HEADER);
    let same_question = question.eq_ignore_ascii_case(&query[HEADER..]) && header[4..6] == query[4..6];
    let is_response = header[2] & 0xf8 == 0x80;
    if header[..2] != query[..2] || !is_response || !same_question {
        return Answer::Foreign;
    }
    let is_truncated = header[2] & 2 != 0;
    let kind = &query[query.len() - 4..];
    let count = u16::from_be_bytes([header[6], header[7]]);
    match header[3] & 15 {
        0 if is_truncated || has_record(records, count, kind) => Answer::Record,
        0 => Answer::NoRecord,
        code => Answer::Failure(code),
    }
}

/// Whether one of the first `count` records is of this type and class.
fn has_record(mut octets: &[u8], count: u16, kind: &[u8]) -> bool {
    for _ in 0..count {
        let Some(rest) = after_name(octets) else { return false };
        let Some((record, rest)) = rest.split_at_checked(RECORD) else { return false };
        let length = usize::from(u16::from_be_bytes([record[8], record[9]]));
        let Some((_, rest)) = rest.split_at_checked(length) else { return false };
        if record[..4] == *kind {
            return true;
        }
        octets = rest;
    }
    false
}

/// What follows a name: labels to an empty one, or to the place of the rest.
fn after_name(mut octets: &[u8]) -> Option<&[u8]> {
    loop {
        let (length, rest) = octets.split_first()?;
        match length {
            0 => return Some(rest),
            1..64 => octets = rest.get(usize::from(*length)..)?,
            64..192 => return None,
            192.. => return rest.get(1..),
        }
    }
}

/// The name of a failure (RFC 1035 §4.1.1).
pub fn failure(code: u8) -> &'static str {
    match code {
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN (the name does not exist)",
        4 => "NOTIMP",
        5 => "REFUSED",
        _ => "another error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 2] = [0xab, 0xcd];

    /// The answer to a query for an address of `a.example`: flags and code, the number of records, and they.
    fn reply(flags: [u8; 2], count: u8, records: &[u8]) -> Vec<u8> {
        let query = query(ID, "a.example", 1);
        [&ID[..], &flags, &[0, 1, 0, count, 0, 0, 0, 0], &query[HEADER..], records].concat()
    }

    const ADDRESS: [u8; 16] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1];

    fn judged(datagram: &[u8]) -> Answer {
        answer(&query(ID, "a.example", 1), datagram)
    }

    #[test]
    fn a_query_is_that_of_rfc_1035() {
        let octets = query(ID, "a.example", 28);
        let expected =
            b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x1c\x00\x01";
        assert_eq!(octets, expected);
        assert_eq!(query(ID, ".", 2)[HEADER..], [0, 0, 2, 0, 1]);
    }

    #[test]
    fn a_record_of_the_type_passes_also_behind_an_alias() {
        assert_eq!(judged(&reply([0x81, 0x80], 1, &ADDRESS)), Answer::Record);
        let alias = [&[1, b'b', 0xc0, 14, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, 12][..], &ADDRESS].concat();
        assert_eq!(judged(&reply([0x81, 0x80], 2, &alias)), Answer::Record);
        assert_eq!(judged(&reply([0x81, 0x80], 1, &alias)), Answer::NoRecord, "the alias alone");
        let lower = reply([0x81, 0x80], 1, &ADDRESS);
        assert_eq!(answer(&query(ID, "A.Example", 1), &lower), Answer::Record);
        assert_eq!(judged(&reply([0x83, 0x80], 0, &[])), Answer::Record, "it did not fit");
    }

    #[test]
    fn a_failure_has_its_name_and_a_broken_record_is_none() {
        for code in 1..=15 {
            assert_eq!(judged(&reply([0x81, 0x80 | code], 0, &[])), Answer::Failure(code));
        }
        assert_eq!((failure(2), failure(5), failure(9)), ("SERVFAIL", "REFUSED", "another error"));
        assert_eq!(judged(&reply([0x81, 0x80], 0, &[])), Answer::NoRecord);
        for end in 0..ADDRESS.len() {
            assert_eq!(judged(&reply([0x81, 0x80], 1, &ADDRESS[..end])), Answer::NoRecord, "{end}");
        }
        assert_eq!(
            judged(&reply([0x81, 0x80], 1, &[0x40, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0])),
            Answer::NoRecord
        );
    }

    #[test]
    fn what_does_not_belong_to_the_query_is_foreign() {
        let good = reply([0x81, 0x80], 1, &ADDRESS);
        for end in 0..query(ID, "a.example", 1).len() {
            assert_eq!(judged(&good[..end]), Answer::Foreign, "{end}");
        }
        for (at, bits, what) in [
            (0, 1, "another number"),
            (1, 0x80, "another number"),
            (2, 0x80, "a query"),
            (2, 0x08, "another kind of query"),
            (5, 3, "another number of questions"),
            (13, 1, "another name"),
            (24, 1, "another type"),
            (26, 2, "another class"),
        ] {
            let mut other = good.clone();
            other[at] ^= bits;
            assert_eq!(judged(&other), Answer::Foreign, "{what}");
        }
    }
}
