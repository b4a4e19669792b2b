//! What every store does, written against [`regatta_store::Store`] alone: a file for each group of operations.
//!
//! A new store joins by an opener in `support` and one line at the end of this file.

mod course;

/// Every case, once for each store.
macro_rules! suite {
    ($($store:ident),+ $(,)?) => {
        $(suite! { @cases $store:
            course { a_task_runs_through_its_plan }
        })+
    };
    (@cases $store:ident: $($group:ident { $($case:ident),+ $(,)? })+) => {
        mod $store {
            $(mod $group {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::conformance::$group::$case(crate::support::$store()).await;
                })+
            })+
        }
    };
}

suite!(sqlite);
