//! Pages that are rendered at most once a second, however often clients ask; renders none.

use std::time::Duration;

use crate::time::Instant;

/// How long a rendered page is served.
const AGE: Duration = Duration::from_secs(1);

/// The last rendering of one page.
#[derive(Debug, Default)]
pub(super) struct Cached(Option<(Instant, String)>);

impl Cached {
    /// The page, and whether it was rendered for this call.
    pub(super) fn get(&mut self, now: Instant, render: impl FnOnce() -> String) -> (&str, bool) {
        let fresh = self.0.take().filter(|(at, _)| now.since(*at) < AGE);
        let rendered = fresh.is_none();
        let (_, text) = self.0.insert(fresh.unwrap_or_else(|| (now, render())));
        (text, rendered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_rendered_once_a_second() {
        let mut page = Cached::default();
        let mut renderings = vec![];
        for ms in 0..2_500 {
            let now = Instant::from_millis(ms);
            let (text, rendered) = page.get(now, || format!("at {ms}"));
            assert_eq!(text, format!("at {}", ms / 1_000 * 1_000));
            renderings.extend(rendered.then_some(ms));
        }
        assert_eq!(renderings, [0, 1_000, 2_000]);
    }
}
