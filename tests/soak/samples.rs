//! The samples: their form in the file, and what must hold of them. Knows no clock and no host.

use std::time::Duration;

/// More at the end of a life than before its middle is a leak.
const SPARE_KB: u64 = 64;
const SPARE_DESCRIPTORS: u64 = 1;

/// One router at one time. What is counted, is counted from the start: of the process, of the run where it is about
/// requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) seconds: u64,
    /// 0 is the better one.
    pub(crate) host: u64,
    pub(crate) pid: u64,
    pub(crate) pss_kb: u64,
    pub(crate) rss_kb: u64,
    pub(crate) descriptors: u64,
    /// Voluntary context switches.
    pub(crate) wakeups: u64,
    pub(crate) cpu_us: u64,
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// Scrapes without an answer.
    pub(crate) unanswered: u64,
}

pub(crate) const HEAD: &str =
    "seconds,host,pid,pss_kb,rss_kb,descriptors,wakeups,cpu_us,requests,failed,unanswered";

impl Sample {
    pub(crate) fn line(&self) -> String {
        let Self { seconds, host, pid, pss_kb, rss_kb, descriptors, wakeups, cpu_us, .. } = self;
        let Self { requests, failed, unanswered, .. } = self;
        format!(
            "{seconds},{host},{pid},{pss_kb},{rss_kb},{descriptors},{wakeups},{cpu_us},{requests},{failed},{unanswered}"
        )
    }

    fn parse(line: &str) -> Option<Self> {
        let numbers: Option<Vec<u64>> = line.split(',').map(|number| number.parse().ok()).collect();
        let [seconds, host, pid, pss_kb, rss_kb, descriptors, wakeups, cpu_us, requests, failed, unanswered] =
            numbers?[..]
        else {
            return None;
        };
        Some(Self {
            seconds,
            host,
            pid,
            pss_kb,
            rss_kb,
            descriptors,
            wakeups,
            cpu_us,
            requests,
            failed,
            unanswered,
        })
    }
}

/// The samples of one host's routers, one list for each process.
pub(crate) type Lives = Vec<Vec<Sample>>;

pub(crate) struct Samples {
    pub(crate) all: Vec<Sample>,
}

impl Samples {
    /// The error is the line that is none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().skip(1);
        let all = lines.map(|line| Sample::parse(line).ok_or_else(|| line.to_owned()));
        Ok(Self { all: all.collect::<Result<_, _>>()? })
    }

    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.all.last().map_or(0, |sample| sample.seconds))
    }

    pub(crate) fn lives(&self, host: u64) -> Lives {
        let samples: Vec<Sample> = self.all.iter().filter(|sample| sample.host == host).copied().collect();
        samples.chunk_by(|a, b| a.pid == b.pid).map(<[Sample]>::to_vec).collect()
    }

    /// What must hold, in words with the measured values, and whether it does.
    pub(crate) fn judge(&self) -> Vec<(String, bool)> {
        let mut judgement = vec![];
        for (host, name) in [(0, "a"), (1, "b")] {
            let lives = self.lives(host);
            let Some(life) = lives.iter().max_by_key(|life| life.len()).filter(|life| life.len() >= 8) else {
                judgement.push((format!("host {name}: 8 samples of one process"), false));
                continue;
            };
            let minutes = (life[life.len() - 1].seconds - life[0].seconds) / 60;
            let mut flat = |what: &str, of: fn(&Sample) -> u64, spare| {
                let quarter = life.len() / 4;
                // Of the first quarter, a part goes by until what is kept, but limited, has its full size.
                let early = median(&life[quarter..2 * quarter], of);
                let last = median(&life[life.len() - quarter..], of);
                let text = format!(
                    "host {name}: {what}, median of the second and the last quarter of the longest life ({minutes} min): \
                     {early} and {last}, at most {spare} more"
                );
                judgement.push((text, last <= early + spare));
            };
            // Not the PSS: it also depends on how many other processes run the same program just then.
            flat("RSS in KB", |sample| sample.rss_kb, SPARE_KB);
            flat("descriptors", |sample| sample.descriptors, SPARE_DESCRIPTORS);
        }
        judgement
    }
}

fn median(samples: &[Sample], of: fn(&Sample) -> u64) -> u64 {
    let mut figures: Vec<u64> = samples.iter().map(of).collect();
    figures.sort_unstable();
    figures[figures.len() / 2]
}
