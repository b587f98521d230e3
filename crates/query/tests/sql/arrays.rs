//! Arrays of several dimensions, and arrays written as texts.

use crate::copy::copy_out;
use crate::fixture::House;
use crate::meaning::{check, refused};

#[tokio::test(flavor = "multi_thread")]
async fn arrays_as_texts() {
    let house = House::empty();
    check(
        &house,
        &[
            (
                "'{1,2,NULL}'::int[], '{{1,2},{3,4}}'::int[], '{{1,2},{3,4}}'::int[][]",
                "[1, 2, NULL]|[[1, 2], [3, 4]]|[[1, 2], [3, 4]]",
            ),
            ("cardinality('{{1,2},{3,4}}'::int[]), ('{{1,2},{3,4}}'::int[])[2][1]", "4|3"),
            ("ARRAY['a b', NULL, '']::text, (ARRAY[ARRAY[1, 2], ARRAY[3, 4]])::text", "{\"a b\",NULL,\"\"}|{{1,2},{3,4}}"),
            (r"'\x00ff'::bytea::text, ('a\\b'::bytea)::text, true = 't', 'off' = (1 = 1)", r"\x00ff|\x615c62|true|false"),
            (r#"array_to_string('{a,"b c","NULL",NULL,""}'::text[], '|', '-')"#, "a|b c|NULL|-|"),
        ],
    )
    .await;
    refused(&house, &[("'{{1,2},{3}}'::int[]", "22P02"), ("'{1,2'::int[]", "22P02"), ("'{{1},2}'::int[]", "22P02")]).await;
    let sql = "COPY (SELECT ARRAY[ARRAY['a b', 'c'], ARRAY[NULL, '\"']], ARRAY['1'::bytea], ARRAY[]::int[]) TO STDOUT";
    let copied = copy_out(&house, sql).await.0;
    assert_eq!(copied, "{{\"a b\",c},{NULL,\"\\\\\"\"}}\t{\"\\\\\\\\x31\"}\t{}\n");
}
