//! The table of keepalived's directives: what becomes of each. Knows no file and no value.

/// The directives of one block, one row each: what becomes of them; the words, `*` for any end; a variable, or what to do
/// instead. The first row that fits counts. Rows of one long text take far less room in the binary than a list of lists.
#[derive(Clone, Copy)]
pub(super) struct Block {
    rows: &'static str,
    /// Rows that count after these.
    more: &'static str,
    /// Other words are lost, and not without meaning here.
    is_complete: bool,
}

/// What becomes of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Becomes {
    /// `G`: the content of the braces counts.
    Global,
    /// `I`: a router.
    Instance,
    /// `S`, `P`: what decides about a router.
    Script,
    Process,
    /// `R`: routers that fail over together.
    Group,
    /// `A`: the content of the braces counts.
    Authentication,
    /// `T`: the names of scripts and processes.
    Track,
    /// `=`: the first word is the value of a variable. Lower case: of none, but it decides about others.
    Value(&'static str),
    /// `+`: the variable gets this value.
    Flag(&'static str, &'static str),
    /// `[`: the first words of the lines in braces.
    List(&'static str),
    /// `@`: the virtual addresses in braces.
    Addresses(&'static str),
    /// `$`: all words.
    Command(&'static str),
    /// `-`: what vrrp-init does anyway, or what has no meaning here.
    Nothing,
    /// `?`: the same, if it has this value; otherwise what to do instead.
    Usual(&'static str, &'static str),
    /// `!`: what to do instead.
    Lost(&'static str),
}

impl Block {
    const fn new(rows: &'static str) -> Self {
        Self { rows, more: "", is_complete: true }
    }

    /// What becomes of `word`.
    pub(super) fn find(self, word: &str) -> Becomes {
        let short = word.strip_prefix("vrrp_").unwrap_or(word);
        match found(self.rows, word).or_else(|| found(self.more, short)) {
            Some(becomes) => becomes,
            None if self.is_complete => Becomes::Lost("vrrp-init does not know this word here"),
            None => Becomes::Nothing,
        }
    }
}

fn found(rows: &'static str, word: &str) -> Option<Becomes> {
    let is = |name: &str| match name.strip_suffix('*') {
        Some(start) => word.starts_with(start),
        None => word == name,
    };
    let (kind, _, text) = rows.lines().map(row).find(|(_, words, _)| words.split(' ').any(is))?;
    Some(becomes(kind, text))
}

/// The kind, the words and the text of a row.
fn row(line: &'static str) -> (u8, &'static str, &'static str) {
    let (words, text) = line.split_once(" | ").unwrap_or((line, ""));
    (line.as_bytes()[0], &words[2..], text)
}

fn becomes(kind: u8, text: &'static str) -> Becomes {
    let (first, second) = text.split_once(if kind == b'+' { "=" } else { ", or " }).unwrap_or((text, ""));
    match kind {
        b'G' => Becomes::Global,
        b'I' => Becomes::Instance,
        b'S' => Becomes::Script,
        b'P' => Becomes::Process,
        b'R' => Becomes::Group,
        b'A' => Becomes::Authentication,
        b'T' => Becomes::Track,
        b'=' => Becomes::Value(text),
        b'+' => Becomes::Flag(first, second),
        b'[' => Becomes::List(text),
        b'@' => Becomes::Addresses(text),
        b'$' => Becomes::Command(text),
        b'?' => Becomes::Usual(first, second),
        b'!' => Becomes::Lost(text),
        _ => Becomes::Nothing,
    }
}

pub(super) const FILE: Block = Block::new(
    "\
G global_defs
I vrrp_instance
S vrrp_script
P vrrp_track_process
R vrrp_sync_group
! virtual_server* real_server* SSL | vrrp-init does no load balancing (IPVS); run haproxy or nginx, and watch it with SERVICE
! static_* | set it up on the host itself; it does not depend on who is master
! bfd_instance vrrp_track_file track_file | use SERVICE, CHECK_TCP, CHECK_HTTP or CHECK_SCRIPT
! interface_up_down_delays | a link counts at once; use PREEMPT_DELAY
! net_namespace* | start the container in that namespace
! ~* | write out every line that it stands for
- garp_group track_group linkbeat_* instance use_pid_dir child_wait_time
",
);

/// Other words there tune keepalived itself.
pub(super) const GLOBAL: Block = Block {
    more: OF_ROUTERS,
    is_complete: false,
    ..Block::new(
        "\
! lvs_* | vrrp-init does no load balancing (IPVS)
! startup_script* shutdown_script* | run it beside the container
! notify_fifo* vrrp_notify_fifo* | use NOTIFY, which runs a program for each transition
= script_user | script_user
- enable_script_security
! enable_* snmp_* state_dump_file stats_dump_file json_dump_file | read METRICS_LISTEN, or `vrrp-init status --json`
! vrrp_startup_delay vrrp_delay_after_boot | use PREEMPT_DELAY, or start later
",
    )
};

pub(super) const INSTANCE: Block = Block {
    more: OF_ROUTERS,
    ..Block::new(
        "\
= interface | INTERFACE
= state | STATE
= virtual_router_id | VIRTUAL_ROUTER
= priority | PRIORITY
= advert_int | ADVERT_INT
+ nopreempt | PREEMPT=false
+ preempt | PREEMPT=true
= preempt_delay | PREEMPT_DELAY
A authentication
@ virtual_ipaddress | VIP
@ virtual_ipaddress_excluded | VIP_EXCLUDED
[ unicast_peer | UNICAST_PEERS
= unicast_src_ip mcast_src_ip | UNICAST_SRC_IP
[ track_interface | TRACK_INTERFACE
T track_script track_process
= notify | NOTIFY
= notify_master | NOTIFY_MASTER
= notify_backup | NOTIFY_BACKUP
= notify_fault | NOTIFY_FAULT
= notify_stop | NOTIFY_STOP
? unicast_ttl | 255, or vrrp-init sends with TTL 255
! virtual_routes virtual_rules | let a program of NOTIFY add and remove it on transitions
! use_vmac* use_ipvlan vmac_xmit_base | the interface keeps its own MAC address; the master announces the addresses with it
! no_accept | a firewall rule on the hosts can drop what is sent to the address
! track_file track_bfd | use SERVICE, CHECK_TCP, CHECK_HTTP or CHECK_SCRIPT
! dont_track_primary | a router whose own interface is down is in FAULT
! auth_hmac | vrrp-init has no HMAC; turn it off on all nodes
! lvs_sync_daemon_interface | vrrp-init does no load balancing (IPVS)
",
    )
};

/// Of routers, or with `vrrp_` before it of all routers.
const OF_ROUTERS: &str = "\
= version | VRRP_VERSION
= garp_master_refresh | GARP_REFRESH
+ strict strict_mode | strict=true
+ v3_checksum_as_v2 | V3_CHECKSUM=rfc9568
? mcast_group4 mcast_dst_ip | 224.0.0.18, or vrrp-init uses this group only; change it on the other nodes
? mcast_group6 | ff02::12, or vrrp-init uses this group only; change it on the other nodes
? down_timer_adverts | 3, or vrrp-init takes over after 3 missed adverts; change ADVERT_INT on all nodes
? lower_prio_no_advert | false, or a master always answers a lower advert
? smtp_alert* | false, or vrrp-init sends no mail; use NOTIFY, or alerts on METRICS_LISTEN
? notify_priority_changes | false, or the log and METRICS_LISTEN tell the priority
! notify_* | use NOTIFY, whose program gets the state as its third argument
- garp_* promote_secondaries accept native_ipv6 no_virtual_ipaddress skip_check_adv_addr debug
- higher_prio_send_advert owner_ignore_adverts check_unicast_src track_src_ip unicast_fault_no_peer
- old_unicast_checksum kernel_rx_buf_size linkbeat_use_polling thread_timer_expired timer_expired_backup
";

pub(super) const AUTHENTICATION: Block = Block::new(
    "\
= auth_type | auth_type
= auth_pass | AUTH_PASS
",
);

pub(super) const SCRIPT: Block = Block::new(
    "\
$ script | script
= interval | CHECK_INTERVAL
= timeout | CHECK_TIMEOUT
= weight | CHECK_WEIGHT
= rise | CHECK_RISE
= fall | CHECK_FALL
= user | script_user
- init_fail
",
);

pub(super) const PROCESS: Block = Block::new(
    "\
$ process | process
= weight | CHECK_WEIGHT
? quorum | 1, or SERVICE needs one process of each name
! quorum_max param_match full_command | SERVICE is the name of a process alone
! delay fork_delay terminate_delay | use CHECK_FALL and CHECK_RISE
",
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::VARIABLES;

    const OF_NO_VARIABLE: [&str; 5] = ["strict", "auth_type", "script", "process", "script_user"];

    #[test]
    fn every_row_is_found_and_names_a_variable_or_what_to_do() {
        for block in [FILE, GLOBAL, INSTANCE, AUTHENTICATION, SCRIPT, PROCESS, Block::new(OF_ROUTERS)] {
            for line in block.rows.lines() {
                let (kind, words, text) = row(line);
                for word in words.split(' ') {
                    let found = block.find(&word.replace('*', ""));
                    assert_eq!(found, becomes(kind, text), "{word} fits an earlier row");
                }
                match becomes(kind, text) {
                    Becomes::Value(name)
                    | Becomes::Flag(name, _)
                    | Becomes::List(name)
                    | Becomes::Addresses(name)
                    | Becomes::Command(name) => {
                        let is_variable = VARIABLES.iter().any(|variable| variable.name == name);
                        assert!(is_variable || OF_NO_VARIABLE.contains(&name), "{line}");
                    }
                    Becomes::Lost(why) | Becomes::Usual(_, why) => assert!(!why.is_empty(), "{line}"),
                    Becomes::Nothing => assert_eq!(kind, b'-', "{line}"),
                    Becomes::Global
                    | Becomes::Instance
                    | Becomes::Script
                    | Becomes::Process
                    | Becomes::Group
                    | Becomes::Authentication
                    | Becomes::Track => assert_eq!(text, "", "{line}"),
                }
            }
        }
    }
}
