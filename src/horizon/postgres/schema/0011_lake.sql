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

-- An agreement is about the lake that was read then, and those that grew out of it. Where the catalog is
-- pointed to another (one taken away to be built anew, an older metadata file), no day that is still hot is
-- agreed on. A commit of Iceberg's names what it came from.
CREATE FUNCTION forget_agreements() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM lake_days l USING day_partitions('events') part (day) WHERE part.day = l.day;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION forget_agreements() FROM PUBLIC;
CREATE TRIGGER another_lake AFTER UPDATE ON iceberg_tables FOR EACH ROW
WHEN (OLD.table_name = 'events' AND NEW.previous_metadata_location IS DISTINCT FROM OLD.metadata_location)
EXECUTE FUNCTION forget_agreements();
CREATE TRIGGER no_lake AFTER DELETE ON iceberg_tables FOR EACH ROW
WHEN (OLD.table_name = 'events') EXECUTE FUNCTION forget_agreements();

-- Whether all who read each event once have read a day's: identity, the history's seal, and forwards.
CREATE FUNCTION day_is_read(day date) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE
    unread boolean;
BEGIN
    EXECUTE format($q$
        SELECT EXISTS (
            SELECT FROM (
                SELECT coalesce(w.era, 0) AS era, coalesce(w.seen, '1:1:') AS seen
                FROM (VALUES ('identity'), ('seal')) once (stage) LEFT JOIN watermarks w USING (stage)
                UNION ALL
                SELECT era, seen FROM forward_spans WHERE NOT again
            ) reader WHERE EXISTS (
                SELECT FROM %1$I e WHERE e.era > reader.era
                    OR (e.era = reader.era AND e.tx >= pg_snapshot_xmin(reader.seen)
                        AND NOT pg_visible_in_snapshot(e.tx, reader.seen)))
        ) OR EXISTS (
            SELECT FROM forward_spans WHERE again AND finished_at IS NULL AND from_at < %2$L AND to_at >= %3$L)
    $q$, 'events_' || to_char(day, 'YYYYMMDD'), day + 1 || ' 00:00+00', day || ' 00:00+00') INTO unread;
    RETURN NOT unread;
END $$;

-- The days that may leave the hot store: before first_day, agreed on for a day of the server's clock,
-- found so again within the last two, and read. Who asks for a lake and its tail has begun since then, and finds these days in the lake.
CREATE FUNCTION days_to_leave(first_day date) RETURNS SETOF date
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT l.day FROM lake_days l JOIN day_partitions('events') part (day) ON part.day = l.day
    WHERE l.day < first_day AND l.agreed_at < clock_timestamp() - interval '24 hours'
      AND l.verified_at > clock_timestamp() - interval '2 days' AND day_is_read(l.day)
      AND NOT EXISTS (SELECT FROM pg_stat_activity other
                      WHERE other.datname = current_database() AND other.xact_start < l.agreed_at)
    ORDER BY l.day
$$;

-- Drops them, and tells which. What came to a day since it was agreed on keeps it, until it is agreed
-- on anew. Writers of that day alone wait while it is counted.
CREATE FUNCTION drop_hot_days(first_day date) RETURNS SETOF date
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    one date;
    part text;
    same boolean;
BEGIN
    FOR one IN SELECT d FROM days_to_leave(first_day) d LOOP
        part := 'events_' || to_char(one, 'YYYYMMDD');
        EXECUTE format('LOCK TABLE %I IN SHARE ROW EXCLUSIVE MODE', part);
        EXECUTE format('SELECT count(*) = (SELECT events FROM lake_days WHERE day = %L) FROM %I', one, part) INTO same;
        IF same AND day_is_read(one) THEN
            EXECUTE format('DROP TABLE %I', part);
            RETURN NEXT one;
        ELSE
            EXECUTE format('DELETE FROM lake_days WHERE day = %L', one);
        END IF;
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION day_is_read(date), days_to_leave(date), drop_hot_days(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION days_to_leave(date), drop_hot_days(date) TO horizon_worker;

-- view.py takes the nodes out in sixteenths. Without this the planner sorts them first, which takes
-- longer than all the rest of it.
CREATE STATISTICS nodes_by_sixteenth ON (get_byte(uuid_send(node), 15) & 15) FROM nodes;
