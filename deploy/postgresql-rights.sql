-- What nodes and sweepers need of their database once its tables are there: run it as the tables' owner, with
--
--     psql --set=run=relay_run --file=deploy/postgresql-rights.sql
--
-- The owner makes and upgrades the tables: `relay admin bootstrap` under its name, before new nodes start. The audit
-- trail can then be added to by nodes and neither changed nor emptied, and nobody who takes a node over can alter a table.
GRANT USAGE ON SCHEMA public TO :run;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO :run;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO :run;
-- Those too that the same owner makes later, or else every node that starts after an upgrade would be refused a new one.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :run;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO :run;
REVOKE UPDATE, DELETE ON audit FROM :run;
REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM :run;
