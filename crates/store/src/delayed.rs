//! Delays that a test asks for, to see that a slow stage is found: only in builds with debug assertions, and only when
//! `REGATTA_TEST_DELAY` says `STAGE=MILLISECONDS`. In every other build nothing of this is there.

/// Waits here, if a test wants this stage of `Server-Timing` to be slow.
#[inline]
pub fn delayed(stage: &str) {
    #[cfg(debug_assertions)]
    {
        use std::sync::OnceLock;
        use std::time::Duration;
        static WANTED: OnceLock<Option<(String, Duration)>> = OnceLock::new();
        let wanted = WANTED.get_or_init(|| {
            let text = std::env::var("REGATTA_TEST_DELAY").ok()?;
            let (stage, ms) = text.split_once('=')?;
            Some((stage.to_owned(), Duration::from_millis(ms.parse().ok()?)))
        });
        if let Some((slow, pause)) = wanted
            && slow == stage
        {
            std::thread::sleep(*pause);
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = stage;
}
