"""The pages under specs/ are true: the promises are tested, the tables are the model's, the contract is generated."""

import ast
import difflib
import re
from pathlib import Path

import pytest
import yaml
from django.db import models
from drf_spectacular.renderers import OpenApiYamlRenderer

from tasks.models import Task
from tests.test_documents import ROOT, table
from todo_project.schema import document

SPECS = ROOT / "specs" / "002-backend-foundation"
DATA_MODEL = "specs/002-backend-foundation/data-model.md"

pytestmark = pytest.mark.documents

# Each promise of spec.md and the tests that hold it, as file::test.
CITED: dict[str, list[str]] = {
    "P-01": [
        "tasks/tests/test_isolation.py::test_there_are_six_endpoints_and_no_others",
        "todo_project/tests/test_problems.py::test_wrong_address_is_404_and_never_a_redirect",
    ],
    "P-02": [
        "tasks/tests/test_list.py::test_the_list_is_a_bare_array_of_ones_own_tasks_newest_first",
    ],
    "P-03": [
        "tasks/tests/test_create.py::test_created_task_is_stored_and_returned",
        "tasks/tests/test_create.py::test_a_title_is_enough",
        "tasks/tests/test_create.py::test_location_leads_to_the_task_whatever_the_user_is_called",
    ],
    "P-04": [
        "tasks/tests/test_retrieve.py::test_a_task_is_returned_as_it_is_stored",
        "tasks/tests/test_retrieve.py::test_an_id_of_no_task_is_404",
    ],
    "P-05": [
        "tasks/tests/test_update.py::test_title_is_required",
        "tasks/tests/test_update.py::test_members_that_were_not_sent_keep_their_values",
        "tasks/tests/test_update.py::test_null_clears_the_description",
        "tasks/tests/test_update.py::test_every_member_that_was_sent_is_written",
    ],
    "P-06": [
        "tasks/tests/test_destroy.py::test_a_deleted_task_is_gone_and_the_others_stay",
        "tasks/tests/test_destroy.py::test_a_second_delete_is_404",
    ],
    "P-07": [
        "tasks/tests/test_complete.py::test_without_a_flag_it_flips",
        "tasks/tests/test_complete.py::test_with_a_flag_it_sets_so_that_a_client_can_retry",
        "tasks/tests/test_complete.py::test_anything_else_is_422",
    ],
    "P-08": [
        "tasks/tests/test_retrieve.py::test_head_answers_as_get_without_the_body",
        "tasks/tests/test_list.py::test_head_answers_as_get_without_the_body",
        "todo_project/tests/test_problems.py::test_options_lists_the_methods",
    ],
    "P-09": [
        "todo_project/tests/test_problems.py::test_every_answer_under_api_is_private_and_asked_for_again",
        "todo_project/tests/test_problems.py::test_sane_request_id_is_kept",
        "todo_project/tests/test_problems.py::test_other_request_ids_are_replaced",
    ],
    "P-10": [
        "tasks/tests/test_validation.py::test_title_is_trimmed_of_everything_that_str_strip_takes",
        "tasks/tests/test_validation.py::test_a_title_of_blanks_is_none",
        "tasks/tests/test_validation.py::test_a_title_has_at_most_200_code_points_after_trimming",
    ],
    "P-11": [
        "tasks/tests/test_validation.py::test_a_description_has_at_most_5000_code_points_and_is_not_trimmed",
        "tasks/tests/test_validation.py::test_an_empty_description_stays_an_empty_one",
    ],
    "P-12": [
        "tasks/tests/test_validation.py::test_what_is_no_string_is_no_title",
        "tasks/tests/test_validation.py::test_what_is_no_string_is_no_description",
        "tasks/tests/test_validation.py::test_what_is_no_boolean_does_not_set_completed",
    ],
    "P-13": [
        "tasks/tests/test_validation.py::test_what_is_no_unicode_text_is_refused",
        "tasks/tests/test_validation.py::test_all_other_text_comes_back_as_it_was_sent",
    ],
    "P-14": [
        "tasks/tests/test_create.py::test_members_that_are_not_the_clients_to_set_change_nothing",
        "tasks/tests/test_update.py::test_members_that_are_not_the_clients_to_set_change_nothing",
    ],
    "P-15": [
        "tasks/tests/test_retrieve.py::test_times_are_utc_with_six_digits_of_microseconds",
        "tasks/tests/test_update.py::test_updated_at_moves_on_also_when_the_clock_went_back",
        "tasks/tests/test_concurrency.py::test_updated_at_strictly_increases_under_concurrent_writers_of_every_kind",
        "tasks/tests/test_model.py::test_every_write_through_the_model_moves_updated_at_on",
    ],
    "P-16": [
        "tasks/tests/test_model.py::test_the_database_refuses_what_the_serializer_would",
        "tasks/tests/test_model.py::test_the_lengths_are_check_constraints",
    ],
    "P-17": [
        "tasks/tests/test_concurrency.py::test_every_one_of_many_toggles_counts",
        "tasks/tests/test_concurrency.py::test_a_put_and_a_toggle_at_the_same_moment_both_survive",
    ],
    "P-18": [
        "todo_project/tests/test_better_auth.py::test_kind_a_is_taken_in_every_algorithm",
        "todo_project/tests/test_better_auth.py::test_kind_b_is_taken_with_the_secret_alone",
        "todo_project/tests/test_better_auth.py::test_kinds_a_and_c_are_taken_side_by_side",
        "todo_project/tests/test_authentication.py::test_published_keys_of_every_algorithm_verify",
    ],
    "P-19": [
        "todo_project/tests/test_better_auth.py::test_kinds_d_e_and_f_are_refused",
        "todo_project/tests/test_better_auth.py::test_kind_d_signed_with_the_published_key_is_refused",
        "todo_project/tests/test_authentication.py::test_forged_kinds_d_and_e_are_refused",
    ],
    "P-20": [
        "todo_project/tests/test_authentication.py::test_alg_none_in_any_spelling_is_refused",
        "todo_project/tests/test_authentication.py::test_public_key_is_no_shared_secret",
        "todo_project/tests/test_authentication.py::test_addresses_in_a_token_are_never_followed",
        "todo_project/tests/test_authentication.py::test_exp_is_an_integer_and_there",
        "todo_project/tests/test_authentication.py::test_sub_is_a_string_that_a_user_id_can_be",
        "todo_project/tests/test_authentication.py::test_issuer_and_audience_by_their_own_names_bind_every_token",
        "todo_project/tests/test_authentication.py::test_claim_that_is_there_twice_is_refused",
    ],
    "P-21": [
        "tasks/tests/test_isolation.py::test_without_a_valid_token_it_is_401_and_no_query",
        "todo_project/tests/test_authentication.py::test_no_token_gets_the_bare_challenge",
        "todo_project/tests/test_authentication.py::test_scheme_is_taken_in_any_case",
    ],
    "P-22": [
        "todo_project/tests/test_authentication.py::test_every_secret_of_a_rotation_verifies_and_the_single_one_does_not",
        "todo_project/tests/test_better_auth.py::test_secret_rotation",
    ],
    "P-23": [
        "todo_project/tests/test_jwks.py::test_new_key_is_found_and_the_old_one_stays",
        "todo_project/tests/test_jwks.py::test_flood_of_unknown_keys_is_one_fetch_a_second_and_one_at_a_time",
        "todo_project/tests/test_better_auth.py::test_key_rotation_keeps_the_old_key",
    ],
    "P-24": [
        "todo_project/tests/test_jwks.py::test_cached_keys_go_on_and_unknown_ones_are_503_in_time",
        "todo_project/tests/test_better_auth.py::test_keys_out_of_reach",
    ],
    "P-25": [
        "todo_project/tests/test_login.py::test_bad_token_decides_also_beside_a_good_cookie",
        "todo_project/tests/test_login.py::test_good_token_decides_beside_the_cookie_of_another",
    ],
    "P-26": [
        "todo_project/tests/test_issue_token.py::test_issued_token_is_taken",
        "todo_project/tests/test_issue_token.py::test_token_lives_as_long_as_asked",
    ],
    "P-27": [
        "todo_project/tests/test_authentication.py::test_anothers_path_is_403_without_a_query",
        "tasks/tests/test_isolation.py::test_anothers_path_is_403_whatever_is_there",
    ],
    "P-28": [
        "tasks/tests/test_isolation.py::test_anothers_task_under_own_path_is_404_as_nobodys_is",
    ],
    "P-29": [
        "tasks/tests/test_isolation.py::test_with_the_path_unchecked_only_the_tokens_own_rows_are_touched",
        "tasks/tests/test_isolation.py::test_with_the_owner_taken_from_the_path_anothers_path_is_still_403",
    ],
    "P-30": [
        "tasks/tests/test_isolation.py::test_every_route_refuses_strangers_and_other_users",
        "tasks/tests/test_isolation.py::test_a_route_added_tomorrow_without_a_guard_is_found",
    ],
    "P-31": [
        "todo_project/tests/test_problems.py::test_checks_come_in_the_order_of_the_contract",
    ],
    "P-32": [
        "tasks/tests/test_admin.py::test_a_users_token_does_not_open_the_admin",
        "tasks/tests/test_admin.py::test_a_staff_cookie_does_not_open_anybodys_tasks",
    ],
    "P-33": [
        "todo_project/tests/test_problems.py::test_every_code_has_a_request_that_it_answers",
        "todo_project/tests/test_problems.py::test_code_is_answered_as_a_problem",
        "todo_project/tests/test_problems.py::test_page_is_for_who_asked_for_one",
    ],
    "P-34": [
        "todo_project/tests/test_body.py::test_body_that_is_not_json_is_400",
    ],
    "P-35": [
        "todo_project/tests/test_body.py::test_256_kib_exactly_pass_and_one_byte_more_is_413",
        "todo_project/tests/test_body.py::test_oversized_body_is_read_to_its_end_up_to_4_mib",
        "todo_project/tests/test_body.py::test_chunked_bodies_are_bounded_too",
        "tests/test_live.py::test_who_sends_too_much_sees_413",
    ],
    "P-36": [
        "todo_project/tests/test_problems.py::test_wrong_method_is_405_with_allow",
        "todo_project/tests/test_problems.py::test_answer_that_cannot_be_given_is_406",
        "todo_project/tests/test_body.py::test_other_media_types_are_415_with_a_bearer_token",
    ],
    "P-37": [
        "tasks/tests/test_create.py::test_every_fault_is_told_at_once",
    ],
    "P-38": [
        "todo_project/tests/test_problems.py::test_database_away_is_503",
        "todo_project/tests/test_connections.py::test_a_connection_dropped_under_a_statement_is_503_once",
        "todo_project/tests/test_connections.py::test_a_statement_that_takes_too_long_is_503_and_the_connection_stays",
        "tests/test_live.py::test_gunicorn_serves_without_a_database_and_says_so",
    ],
    "P-39": [
        "todo_project/tests/test_problems.py::test_bug_is_500_with_nothing_of_the_inside",
        "todo_project/tests/test_logging.py::test_log_holds_no_token_title_search_word_or_secret",
        "todo_project/tests/test_logging.py::test_row_that_the_database_refuses_is_not_quoted",
    ],
    "P-40": [
        "todo_project/tests/test_problems.py::test_foreign_host_is_400_on_every_page",
    ],
    "P-41": [
        "tasks/tests/test_list.py::test_limit_bounds_the_list",
        "tasks/tests/test_list.py::test_a_bad_value_is_422",
    ],
    "P-42": [
        "tasks/tests/test_pagination.py::test_every_walk_sees_each_task_once_and_in_order",
        "tasks/tests/test_pagination.py::test_a_walk_is_complete_while_others_write",
        "tasks/tests/test_pagination.py::test_a_full_last_page_has_no_next",
    ],
    "P-43": [
        "tasks/tests/test_pagination.py::test_a_cursor_of_another_filter_or_order_is_422",
        "tasks/tests/test_pagination.py::test_a_cursor_of_another_user_is_422",
        "tasks/tests/test_pagination.py::test_a_cursor_that_was_tampered_with_is_422",
        "tasks/tests/test_pagination.py::test_a_cursor_is_not_bound_to_limit",
    ],
    "P-44": [
        "tasks/tests/test_list.py::test_completed_filters",
        "tasks/tests/test_list.py::test_search_finds_in_title_and_description_of_ones_own",
        "tasks/tests/test_list.py::test_every_character_of_a_search_is_plain",
        "tasks/tests/test_list.py::test_search_folds_unicode_on_postgresql_and_ascii_on_sqlite",
    ],
    "P-45": [
        "tasks/tests/test_list.py::test_title_orders_by_code_point",
        "tasks/tests/test_list.py::test_the_id_breaks_ties",
        "tasks/tests/test_list.py::test_times_order_also_where_microseconds_are_zero",
    ],
    "P-46": [
        "tasks/tests/test_list.py::test_a_bad_value_is_422",
        "tasks/tests/test_list.py::test_one_parameter_twice_is_422",
        "tasks/tests/test_list.py::test_unknown_parameters_are_ignored",
    ],
    "P-47": [
        "tasks/tests/test_statements.py::test_no_statement_scans_the_table_and_created_at_comes_straight_from_the_index",
        "tasks/tests/test_statements.py::test_a_page_from_the_middle_starts_at_its_place_in_the_index",
    ],
    "P-48": [
        "todo_project/tests/test_login.py::test_pasted_token_signs_in_for_as_long_as_it_lives",
        "todo_project/tests/test_login.py::test_page_without_sign_in_leads_to_login_and_back",
        "todo_project/tests/test_login.py::test_expired_token_in_the_cookie_is_not_signed_in",
        "tests/test_browser.py::test_a_person_keeps_tasks",
    ],
    "P-49": [
        "todo_project/tests/test_login.py::test_writes_with_the_cookie_need_the_csrf_token",
        "todo_project/tests/test_login.py::test_forms_are_never_taken_with_a_bearer_token",
        "todo_project/tests/test_login.py::test_forms_and_json_are_taken_with_cookie_and_csrf_token",
    ],
    "P-50": [
        "tests/test_pages.py::test_the_start_page_is_json_for_programs_and_a_page_for_people",
        "todo_project/tests/test_login.py::test_start_page_knows_who_is_signed_in",
    ],
    "P-51": [
        "tasks/tests/test_admin.py::test_the_list_shows_every_users_tasks_and_says_so",
        "tasks/tests/test_admin.py::test_search_takes_a_whole_user_id_or_a_part_of_a_title",
        "tasks/tests/test_admin.py::test_no_page_counts_the_whole_table",
        "tasks/tests/test_admin.py::test_bulk_actions_set_the_flag_and_move_updated_at",
    ],
    "P-52": [
        "tests/test_pages.py::test_openapi_json_is_the_document_of_the_six_endpoints",
        "tests/test_pages.py::test_docs_explains_every_problem_and_loads_nothing_from_elsewhere",
        "tests/test_specs.py::test_the_openapi_document_is_the_one_the_code_makes",
        "tests/test_live.py::test_every_asset_a_page_names_is_there",
        "tests/test_browser.py::test_the_documentation_can_be_tried",
    ],
    "P-53": [
        "todo_project/tests/test_health.py::test_healthz_asks_nothing_of_the_database",
        "todo_project/tests/test_health.py::test_readyz_tells_when_the_database_is_away_and_healthz_goes_on",
        "todo_project/tests/test_health.py::test_health_pages_answer_under_any_host_name",
    ],
    "P-54": [
        "todo_project/tests/test_cors.py::test_preflight_needs_no_token_and_no_query",
        "todo_project/tests/test_cors.py::test_every_answer_can_be_read_also_an_error",
        "todo_project/tests/test_cors.py::test_other_origins_get_nothing",
    ],
    "P-55": [
        "todo_project/tests/test_settings.py::test_throttle_rate_bounds_each_user_alone",
    ],
    "P-56": [
        "tests/test_live.py::test_serve_prints_a_command_that_works_and_a_second_start_keeps_the_task",
        "tests/test_live.py::test_serve_on_a_taken_port_is_one_line",
        "tests/test_live.py::test_a_database_out_of_reach_is_one_line",
        "tests/test_documents.py::test_the_quickstart_runs_and_a_restart_loses_nothing",
    ],
    "P-57": [
        "todo_project/tests/test_settings.py::test_wrong_variable_is_named_in_one_line_and_its_secret_is_not",
        "todo_project/tests/test_settings.py::test_every_variable_is_in_the_example_and_only_those",
        "tests/test_documents.py::test_the_readme_and_env_example_name_the_same_variables",
    ],
    "P-58": [
        "tests/test_procfile.py::test_release_and_web_start_with_nothing_but_environment_variables",
        "tests/test_live.py::test_assets_are_served_without_a_build_step",
    ],
    "P-59": [
        "tasks/tests/test_pagination.py::test_link_says_https_behind_a_proxy",
        "todo_project/tests/test_health.py::test_plain_http_is_redirected_to_https",
        "todo_project/tests/test_settings.py::test_https_switches_on_redirect_hsts_and_secure_cookies",
    ],
    "P-60": [
        "tests/test_documents.py::test_the_readme_runs",
        "tests/test_documents.py::test_the_quickstart_runs_and_a_restart_loses_nothing",
        "tests/test_documents.py::test_every_other_block_is_one_that_cannot_run_here",
    ],
    "P-61": [
        "tasks/tests/test_conditions.py::test_a_state_has_one_tag_whatever_the_answer_it_comes_with",
        "tasks/tests/test_conditions.py::test_every_write_makes_another_tag_also_when_the_clock_went_back",
        "tasks/tests/test_conditions.py::test_the_tag_of_a_list_covers_its_tasks_its_order_and_its_link",
        "tasks/tests/test_conditions.py::test_pages_problems_and_deletes_carry_no_tag",
    ],
    "P-62": [
        "tasks/tests/test_conditions.py::test_a_reader_who_has_the_state_is_told_so",
        "tasks/tests/test_conditions.py::test_other_and_malformed_tags_read_the_state",
        "tests/test_manners_live.py::test_304_leaves_a_connection_in_step",
    ],
    "P-63": [
        "tasks/tests/test_conditions.py::test_a_write_of_the_state_that_was_read_happens_in_one_query",
        "tasks/tests/test_conditions.py::test_a_write_of_a_state_that_has_changed_is_refused_in_two_queries",
        "tasks/tests/test_conditions.py::test_weak_foreign_and_malformed_tags_never_match",
        "tests/test_manners_live.py::test_a_header_that_was_sent_in_two_lines_is_one_list",
    ],
    "P-64": [
        "tasks/tests/test_conditions.py::test_if_none_match_refuses_to_write_a_state_that_is_named",
        "tasks/tests/test_conditions.py::test_of_two_conditions_both_must_hold",
    ],
    "P-65": [
        "tasks/tests/test_conditions.py::test_of_fifty_writers_with_one_tag_exactly_one_wins_each_round",
        "tests/test_manners_live.py::test_of_fifty_writers_with_one_tag_exactly_one_wins_each_round",
        "tasks/tests/test_conditions.py::test_a_delete_and_a_write_with_one_tag_do_not_both_happen",
    ],
    "P-66": [
        "tasks/tests/test_conditions.py::test_a_task_of_somebody_else_or_of_nobody_is_404_as_without_a_condition",
        "tasks/tests/test_conditions.py::test_the_body_comes_first_then_the_task_then_the_condition",
    ],
    "P-67": [
        "tasks/tests/test_idempotency.py::test_the_same_create_again_answers_the_same_and_makes_nothing",
        "tasks/tests/test_idempotency.py::test_a_retry_shows_the_task_as_it_is_now",
        "tasks/tests/test_idempotency.py::test_keys_are_per_user",
        "tasks/tests/test_idempotency.py::test_a_quoted_key_is_the_key",
    ],
    "P-68": [
        "tests/test_manners_live.py::test_a_thousand_retries_at_once_make_one_task",
        "tests/test_manners_live.py::test_a_client_that_hangs_up_and_sends_again_makes_one_task",
        "tests/test_manners_live.py::test_a_retry_after_a_worker_was_killed_between_commit_and_answer_finds_the_task",
        "tasks/tests/test_idempotency.py::test_a_twin_waits_for_its_twin_and_takes_its_place_if_that_fails",
    ],
    "P-69": [
        "tasks/tests/test_idempotency.py::test_other_values_are_refused",
        "tasks/tests/test_idempotency.py::test_values_that_make_the_same_task_are_the_same",
        "tasks/tests/test_idempotency.py::test_an_invalid_key_is_refused",
        "tests/test_manners_live.py::test_of_two_bodies_with_one_key_one_wins_across_processes",
    ],
    "P-70": [
        "tasks/tests/test_idempotency.py::test_a_refused_create_binds_nothing",
        "tasks/tests/test_idempotency.py::test_a_deleted_task_takes_its_key_along",
        "tasks/tests/test_idempotency.py::test_old_keys_are_cleared_and_nothing_else_is_touched",
        "tasks/tests/test_idempotency.py::test_less_than_the_promised_day_is_refused",
    ],
    "P-71": [
        "tasks/tests/test_pages_stay_put.py::test_what_stays_is_seen_exactly_once",
        "tasks/tests/test_pagination.py::test_a_cursor_whose_task_is_deleted_goes_on",
    ],
    "P-72": [
        "tasks/tests/test_statements.py::test_every_statement_has_the_owner_in_an_equality",
        "tasks/tests/test_statements.py::test_every_function_that_names_the_table_takes_the_owner_first",
        "tasks/tests/test_statements.py::test_no_other_module_of_the_api_touches_rows",
    ],
    "P-73": [
        "tasks/tests/test_isolation.py::test_ones_own_task_under_own_path_is_served_with_one_query",
        "tasks/tests/test_isolation.py::test_a_list_with_everything_asked_for_is_one_query_too",
        "tasks/tests/test_conditions.py::test_a_reader_who_has_the_state_is_told_so",
        "tasks/tests/test_conditions.py::test_a_write_of_the_state_that_was_read_happens_in_one_query",
        "tasks/tests/test_conditions.py::test_a_write_of_a_state_that_has_changed_is_refused_in_two_queries",
        "tasks/tests/test_idempotency.py::test_a_create_is_one_query_with_and_without_a_key",
    ],
    "P-74": [
        "todo_project/tests/test_connections.py::test_a_connection_dropped_while_idle_costs_no_request",
        "todo_project/tests/test_connections.py::test_what_was_prepared_and_is_no_more_costs_no_request",
    ],
    "P-75": [
        "todo_project/tests/test_connections.py::test_every_success_is_one_round_trip",
        "todo_project/tests/test_connections.py::test_prepared_statements_follow_the_setting",
        "todo_project/tests/test_connections.py::test_a_statement_says_the_same_whichever_way_it_is_sent",
    ],
    "P-76": [
        "tests/test_client.py::test_the_client_compiles_and_works_with_a_real_token",
        "tests/test_client.py::test_a_type_that_is_not_true_does_not_compile",
        "tests/test_documents.py::test_the_readme_shows_the_client_that_was_tried",
    ],
    "SC-001": [
        "tests/test_live.py::test_the_six_endpoints_answer",
        "tests/test_documents.py::test_the_readme_runs",
    ],
    "SC-002": [
        "tests/test_live.py::test_data_survives_a_restart",
        "tests/test_documents.py::test_the_quickstart_runs_and_a_restart_loses_nothing",
    ],
    "SC-003": [
        "tasks/tests/test_isolation.py::test_without_a_valid_token_it_is_401_and_no_query",
        "todo_project/tests/test_authentication.py::test_expired_token_says_so",
        "todo_project/tests/test_better_auth.py::test_expired_token_is_refused",
    ],
    "SC-004": [
        "tests/test_live.py::test_p95_of_a_short_mix_is_under_200_ms",
    ],
    "SC-005": [
        "tasks/tests/test_isolation.py::test_every_route_refuses_strangers_and_other_users",
        "tasks/tests/test_isolation.py::test_anothers_task_under_own_path_is_404_as_nobodys_is",
        "tasks/tests/test_statements.py::test_no_statement_reaches_a_row_of_another_owner",
        "tests/test_end_to_end.py::test_two_people_do_not_meet",
    ],
}


def promises() -> list[str]:
    return re.findall(r"^\| ((?:P|SC)-\d+) \|", (SPECS / "spec.md").read_text(), re.M)


def names_of_tests(file: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_the_promises_are_numbered_without_a_gap() -> None:
    numbers = promises()
    counted = [f"P-{number:02}" for number in range(1, len(numbers) - 4)]
    assert numbers == counted + [f"SC-{number:03}" for number in range(1, 6)]


def test_every_promise_is_held_by_a_test() -> None:
    assert [number for number in promises() if not CITED.get(number)] == []
    assert sorted(set(CITED) - set(promises())) == []


def test_every_test_that_holds_a_promise_exists() -> None:
    missing = []
    for number, names in CITED.items():
        for name in names:
            file, _, test = name.partition("::")
            if not (ROOT / file).is_file() or test not in names_of_tests(ROOT / file):
                missing.append(f"{number}: {name}")
    assert missing == []


def test_the_openapi_document_is_the_one_the_code_makes() -> None:
    """`make schema` writes it anew."""
    path = SPECS / "contracts" / "openapi.yaml"
    made = OpenApiYamlRenderer().render(document(), renderer_context={})
    # Sorted, so that the difference shows what the documents say and not how they are arranged.
    written, generated = (yaml.safe_dump(yaml.safe_load(text)).splitlines() for text in (path.read_text(), made))
    difference = list(difflib.unified_diff(written, generated, path.name, "the code", lineterm=""))
    assert not difference, "make schema writes it anew:\n" + "\n".join(difference[:200])


def default_name(field: models.Field) -> str:
    if field.default is models.NOT_PROVIDED:
        return ""
    return f"`{field.default.__name__ if callable(field.default) else field.default}`"


def test_the_fields_of_the_data_model_are_those_of_the_table() -> None:
    made = []
    for field in Task._meta.get_fields():
        assert isinstance(field, models.Field)
        size = f"({field.max_length})" if field.max_length else ""
        collation = getattr(field, "db_collation", None)
        made.append(
            [
                f"`{field.name}`",
                f"`{type(field).__name__}{size}`",
                "yes" if field.null else "no",
                default_name(field),
                f"`{collation}`" if collation else "",
            ]
        )
    assert [cells[:5] for cells in table(DATA_MODEL, "Fields")] == made
    assert Task._meta.db_table == "tasks_task"


def in_words(constraint: models.BaseConstraint) -> str:
    if isinstance(constraint, models.UniqueConstraint):
        assert constraint.condition == models.Q(**{f"{constraint.fields[-1]}__isnull": False})
        fields = " and ".join(f"`{field}`" for field in constraint.fields)
        return f"{fields} are unique together, where `{constraint.fields[-1]}` is not null"
    assert isinstance(constraint, models.CheckConstraint)
    least, most = constraint.condition.children
    assert not isinstance(least, tuple)
    assert not isinstance(most, tuple)
    field = least.lhs.source_expressions[0].name  # type: ignore[attr-defined]
    return f"`{field}` has {least.rhs} to {most.rhs} characters"  # type: ignore[attr-defined]


def test_the_constraints_of_the_data_model_are_those_of_the_table() -> None:
    made = [[f"`{constraint.name}`", in_words(constraint)] for constraint in Task._meta.constraints]
    assert table(DATA_MODEL, "Constraints") == made


def test_the_indexes_of_the_data_model_are_those_of_the_table() -> None:
    written = [(cells[0].strip("`"), re.findall(r"`(\w+)`", cells[1])) for cells in table(DATA_MODEL, "Indexes")]
    assert written == [(index.name, list(index.fields)) for index in Task._meta.indexes]
    assert not [field.name for field in Task._meta.fields if field.db_index or (field.unique and not field.primary_key)]
