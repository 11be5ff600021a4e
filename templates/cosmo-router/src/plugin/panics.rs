//! Panics: they go to the log with their stack, and a handler's costs its own call alone.

use std::{
    backtrace::Backtrace,
    future::poll_fn,
    panic::{self, AssertUnwindSafe},
    task::Poll,
    thread,
};

use super::log::{Level, log};

/// Has every panic of this process logged, with its message, its place and its stack.
pub fn log_all() {
    panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("no message");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let stack = Backtrace::force_capture();
        let name = thread::current().name().unwrap_or_default().to_owned();
        log(
            Level::Error,
            "panic",
            &[
                ("error", &message),
                ("location", &place),
                ("plugin_stack", &stack),
                ("thread", &name),
            ],
        );
    }));
}

/// A future's output; `None` if it panics.
pub async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    poll_fn(move |context| {
        // It is not polled again after a panic, so nobody sees what that left half done.
        let polled = panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        polled.map_or(Poll::Ready(None), |poll| poll.map(Some))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_absent_output() {
        assert_eq!(caught(async { 1 }).await, Some(1));
        let panics = async {
            tokio::task::yield_now().await;
            panic!("on purpose")
        };
        assert_eq!(caught::<_>(panics).await, None::<()>);
    }
}
