//! `docs/failover.svg` shows the figures of `docs/performance.md`.

use std::fs;

use super::picture;

#[test]
fn the_picture_is_drawn_from_the_published_figures() {
    let page = fs::read_to_string("docs/performance.md").unwrap();
    let drawn = picture::draw(&page).unwrap();
    let path = "docs/failover.svg";
    let published = fs::read_to_string(path).unwrap_or_default();
    assert!(drawn == published, "{path} is not what is drawn now: BENCH_ONLY=picture make bench");
}
