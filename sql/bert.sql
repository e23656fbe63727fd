-- The whole current schema of the extension; the Makefile copies it to bert--VERSION.sql.
\echo Use "CREATE EXTENSION bert" to load this file. \quit

-- Types

-- Models

-- Text

-- Inference

-- Training
