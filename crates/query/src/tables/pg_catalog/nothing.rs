//! The tables of PostgreSQL's catalogue that are always empty here: of what they describe, there is
//! nothing.

/// A table, its columns of numbers and its columns of text.
type Empty = (&'static str, &'static [&'static str], &'static [&'static str]);

#[rustfmt::skip]
pub(super) const EMPTY: [Empty; 37] = [
    ("pg_am", &["oid"], &["amname", "amtype"]),
    ("pg_attrdef", &["oid", "adrelid", "adnum"], &["adbin"]),
    ("pg_index", &["indexrelid", "indrelid", "indnatts"], &["indkey", "indisprimary", "indisunique"]),
    ("pg_constraint", &["oid", "conrelid", "confrelid", "conindid", "connamespace"], &["conname", "contype", "conkey", "confkey"]),
    ("pg_description", &["objoid", "classoid", "objsubid"], &["description"]),
    ("pg_shdescription", &["objoid", "classoid"], &["description"]),
    ("pg_inherits", &["inhrelid", "inhparent", "inhseqno"], &[]),
    ("pg_enum", &["oid", "enumtypid", "enumsortorder"], &["enumlabel"]),
    ("pg_range", &["rngtypid", "rngsubtype"], &[]),
    ("pg_proc", &["oid", "pronamespace"], &["proname", "prokind"]),
    ("pg_policy", &["oid", "polrelid"], &["polname"]),
    ("pg_trigger", &["oid", "tgrelid"], &["tgname"]),
    ("pg_rewrite", &["oid", "ev_class"], &["rulename"]),
    ("pg_statistic_ext", &["oid", "stxrelid"], &["stxname"]),
    ("pg_publication", &["oid"], &["pubname"]),
    ("pg_publication_rel", &["oid", "prpubid", "prrelid"], &[]),
    ("pg_publication_namespace", &["oid", "pnpubid", "pnnspid"], &[]),
    ("pg_subscription", &["oid"], &["subname"]),
    ("pg_collation", &["oid", "collnamespace"], &["collname"]),
    ("pg_extension", &["oid", "extnamespace"], &["extname", "extversion"]),
    ("pg_foreign_table", &["ftrelid", "ftserver"], &[]),
    ("pg_foreign_server", &["oid"], &["srvname"]),
    ("pg_foreign_data_wrapper", &["oid"], &["fdwname"]),
    ("pg_user_mappings", &["umid"], &["srvname", "usename"]),
    ("pg_depend", &["classid", "objid", "refclassid", "refobjid"], &["deptype"]),
    ("pg_language", &["oid"], &["lanname"]),
    ("pg_cast", &["oid", "castsource", "casttarget"], &[]),
    ("pg_operator", &["oid", "oprnamespace"], &["oprname"]),
    ("pg_opclass", &["oid"], &["opcname"]),
    ("pg_conversion", &["oid", "connamespace"], &["conname"]),
    ("pg_event_trigger", &["oid"], &["evtname"]),
    ("pg_default_acl", &["oid"], &["defaclacl"]),
    ("pg_db_role_setting", &["setdatabase", "setrole"], &["setconfig"]),
    ("pg_sequence", &["seqrelid"], &[]),
    ("pg_largeobject_metadata", &["oid"], &[]),
    ("pg_partitioned_table", &["partrelid"], &[]),
    ("pg_matviews", &[], &["schemaname", "matviewname"]),
];
