-- Iceberg's catalog: where each table's newest metadata file is. The tables and their columns are
-- those of Iceberg's JDBC catalog, schema V1 (pyiceberg's SqlCatalog), which Spark reads as well.
CREATE TABLE iceberg_tables (
    catalog_name varchar(255) NOT NULL,
    table_namespace varchar(255) NOT NULL,
    table_name varchar(255) NOT NULL,
    metadata_location varchar(1000),
    previous_metadata_location varchar(1000),
    iceberg_type varchar(5),
    PRIMARY KEY (catalog_name, table_namespace, table_name)
);
CREATE TABLE iceberg_namespace_properties (
    catalog_name varchar(255) NOT NULL,
    namespace varchar(255) NOT NULL,
    property_key varchar(255) NOT NULL,
    property_value varchar(1000) NOT NULL,
    PRIMARY KEY (catalog_name, namespace, property_key)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON iceberg_tables, iceberg_namespace_properties TO horizon_worker;
GRANT SELECT ON iceberg_tables, iceberg_namespace_properties TO horizon_console, horizon_reader;

-- What the hot store and the lake agreed on of a day of receipt: a day may leave the hot store some
-- time after, and is then compared with this.
CREATE TABLE lake_days (
    day date PRIMARY KEY,
    events bigint NOT NULL,
    checksum numeric NOT NULL,
    agreed_at timestamptz NOT NULL,  -- since when events and checksum are these
    verified_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON lake_days TO horizon_worker;
GRANT SELECT ON lake_days TO horizon_console, horizon_reader;
