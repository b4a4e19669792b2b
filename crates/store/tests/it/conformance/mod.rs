//! What every store does, written against [`regatta_store::Store`] alone: a file for each group of operations.
//!
//! A new store joins by an opener in `support` and its name at the end of this file.

mod course;
mod crowd;
mod durable;
mod events;
mod leases;
mod lists;
mod order;
mod reports;
mod submit;
mod tasks;
mod tokens;
mod workers;

/// Cases for each of the stores that are named.
macro_rules! cases {
    ($store:ident: $($group:ident { $($case:ident),+ $(,)? })+) => {
        $(mod $group {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if let Some(store) = crate::support::$store().await {
                    crate::conformance::$group::$case(store).await;
                }
            })+
        })+
    };
}

/// What every store does.
macro_rules! every_store {
    ($($store:ident),+ $(,)?) => {
        $(mod $store {
            cases! { $store:
                course { a_task_runs_through_its_plan, the_sink_hears_in_order, timings_are_told }
                submit {
                    a_batch_is_made_whole,
                    a_key_makes_once_and_answers_again,
                    a_key_with_another_body_is_refused,
                    a_key_is_kept_for_a_day,
                    a_deferred_task_waits_until_it_is_planned,
                    a_task_starts_at_its_time,
                    a_long_plan_comes_in_chunks,
                    texts_survive_as_they_are,
                }
                order {
                    the_oldest_first_and_priority_ahead,
                    only_the_lanes_that_are_offered,
                    no_more_than_there_are_slots,
                    an_old_session_gets_nothing,
                    several_workers_share_a_claim,
                    a_rejected_subtask_goes_to_another_worker,
                }
                leases {
                    a_lease_that_runs_out_is_given_again,
                    a_heartbeat_renews_what_it_names,
                    what_two_heartbeats_leave_out_goes_back,
                    a_worker_that_resumes_keeps_what_it_runs,
                    a_worker_that_registers_again_keeps_what_it_runs,
                    a_subtask_lost_too_often_fails,
                    a_timeout_during_a_rest_waits_for_the_worker,
                    a_rest_of_the_fleet_extends_all_leases,
                    a_timeout_ends_what_is_renewed,
                }
                reports {
                    a_result_is_taken_once,
                    a_stale_lease_changes_nothing,
                    a_failure_is_tried_again_after_a_pause,
                    a_failure_for_good_cancels_what_depends_on_it,
                    attempts_are_all_kept,
                    too_large_a_context_fails_the_dependent,
                    progress_is_shown_and_told,
                }
                tasks {
                    a_cancelled_task_stops_what_runs,
                    a_retried_task_goes_on_where_it_failed,
                    only_what_has_ended_is_deleted,
                    what_ended_long_ago_is_forgotten,
                    a_batch_of_retention_is_bounded_and_goes_on,
                    nothing_is_known_of_unknown_ids,
                }
                workers {
                    a_machine_keeps_its_id,
                    a_worker_that_unregisters_gives_everything_back,
                    a_draining_worker_gets_nothing,
                    only_a_worker_that_is_offline_is_removed,
                    status_is_what_the_row_says_at_that_time,
                    figures_are_kept_for_an_hour,
                    workers_are_found_by_what_they_offer,
                }
                lists {
                    tasks_are_paged_both_ways,
                    tasks_are_found_by_status_type_and_text,
                    a_list_says_what_is_first_in_the_queue,
                    subtasks_are_listed_from_any_place,
                    counters_follow_every_change,
                }
                events {
                    events_are_numbered_and_paged_with_logs_among_them,
                    logs_are_read_forwards_and_from_the_end,
                    a_line_under_a_stale_lease_is_kept_and_marked,
                    a_plan_that_was_thrown_away_leaves_its_events,
                }
                tokens {
                    a_token_counts_until_it_is_revoked,
                    a_worker_is_taken_over_only_by_who_may,
                    a_bound_token_speaks_only_for_its_own_workers,
                }
                crowd { many_callers_at_once_lose_nothing, workers_at_once_never_share_a_subtask }
            }
        })+
    };
}

/// What every store does that outlives its process.
macro_rules! every_durable_store {
    ($($store:ident),+ $(,)?) => {
        $(mod $store {
            mod kept {
                cases! { $store:
                    durable {
                        what_was_acknowledged_is_there_after_closing,
                        what_was_acknowledged_is_there_without_closing,
                        a_closed_store_says_so,
                        keys_are_never_given_again,
                        tokens_and_owners_are_kept,
                    }
                }
            }
        })+
    };
}

mod every {
    every_store!(memory, sqlite, postgres);
}
mod lasting {
    every_durable_store!(sqlite, postgres);
}
