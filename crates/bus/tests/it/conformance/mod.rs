//! What every bus promises, a file a promise. A bus may deliver late, so a test that says that something does
//! not come publishes something after it that does.

pub mod cache;
pub mod concurrent;
pub mod fan_out;
pub mod lag;
pub mod nodes;
pub mod order;
pub mod topics;

/// Runs every conformance test on the bus that `$make` makes, in a module called `$name`.
macro_rules! suite {
    ($name:ident, $make:expr) => {
        conformance::suite_without_cache!(
            $name,
            Some($make),
            cache::newer_versions_stay,
            cache::what_was_deleted_stays_deleted,
            cache::any_order_of_late_writers_ends_at_the_newest,
        );
    };
}

/// The same for a bus that keeps no counters, so that they are read from the store; `$make` makes none where what it needs
/// is not here.
macro_rules! suite_without_cache {
    ($name:ident, $make:expr $(, $file:ident::$case:ident)* $(,)?) => {
        mod $name {
            use std::sync::Arc;

            #[allow(unused_imports)] // what some expressions need
            use super::*;
            use crate::conformance;

            conformance::each!($make;
                $($file::$case,)*
                concurrent::each_event_once_or_counted,
                concurrent::coming_and_going_while_others_publish,
                fan_out::everyone_shares_one_notice,
                fan_out::several_matching_topics_deliver_once,
                fan_out::watchers_are_counted,
                lag::a_full_queue_is_counted_and_goes_on_from_the_newest,
                lag::a_slow_subscriber_harms_no_other,
                nodes::news_is_coalesced,
                nodes::every_node_hears_everything,
                nodes::a_removed_worker_does_not_come_back,
                nodes::a_waiting_node_is_woken,
                order::events_come_in_the_order_of_publishing,
                order::a_waiting_subscriber_is_woken,
                order::a_cancelled_wait_loses_nothing,
                topics::each_kind_goes_where_it_belongs,
                topics::workers_go_to_the_list_and_to_their_own,
                topics::nothing_comes_after_unsubscribing,
                topics::what_another_topic_asked_for_stays_queued,
                topics::health_answers,
            );
        }
    };
}

macro_rules! each {
    ($make:expr; $($file:ident::$case:ident),+ $(,)?) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let Some(bus) = $make else { return };
            conformance::$file::$case(Arc::new(bus)).await;
        }
    )+ };
}

pub(crate) use {each, suite, suite_without_cache};
