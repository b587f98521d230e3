// node-postgres and postgres.js against a real server: types, parameters, cursors, streams, COPY, pools, errors.

const assert = require('node:assert/strict');
const { Readable, Writable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const { Client, Pool } = require('pg');
const Cursor = require('pg-cursor');
const QueryStream = require('pg-query-stream');
const { from, to } = require('pg-copy-streams');
const postgres = require('postgres');

const T0 = new Date('2024-01-01T00:00:00Z');
const at = (seconds) => new Date(T0.getTime() + seconds * 1000);

async function types(client) {
  await client.query("INSERT INTO tags(name, kind, labels) VALUES ('no.u', 'f64', $1), ('no.t', 'text', '{}')", [{ site: 'north' }]);
  for (let i = 0; i < 20; i++) {
    await client.query({ name: 'write', text: 'INSERT INTO samples(tag, time, value) VALUES ($1, $2, $3)', values: ['no.u', at(i), i / 2] });
  }
  const several = await client.query('INSERT INTO samples(tag, time, value) SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::float8[])', [['no.u', 'no.u'], [at(20), at(21)], [10, 10.5]]);
  assert.equal(several.rowCount, 2);
  const { rows, fields } = await client.query('SELECT tag, time, value, quality FROM samples WHERE tag = $1 AND time >= $2 ORDER BY time LIMIT 1', ['no.u', at(3)]);
  assert.deepEqual(rows, [{ tag: 'no.u', time: at(3), value: 1.5, quality: 192 }]);
  assert.deepEqual(fields.map((field) => field.dataTypeID), [25, 1184, 701, 21]);
  assert.equal((await client.query('SELECT count(*) AS n FROM samples WHERE tag = ANY($1)', [['no.u', 'none']])).rows[0].n, '22');
  const one = (await client.query("SELECT ARRAY['a', NULL, 'b\"'] AS a, 9007199254740993::int8 AS b, '2024-01-02'::timestamptz AS c, true AS d, NULL AS e, '\\x0102'::bytea AS f, '1 day 02:03:04'::interval AS g")).rows[0];
  assert.deepEqual(one.a, ['a', null, 'b"']);
  assert.equal(one.b, '9007199254740993');
  assert.deepEqual([one.c, one.d, one.e], [new Date('2024-01-02T00:00:00Z'), true, null]);
  assert.deepEqual([...one.f], [1, 2]);
  assert.equal(one.g.toPostgres(), '4 seconds 3 minutes 2 hours 1 days');
  assert.equal((await client.query("SELECT labels->>'site' AS site FROM tags WHERE name = 'no.u'")).rows[0].site, 'north');
  const binary = await client.query({ text: 'SELECT tag, value FROM samples WHERE tag = $1 ORDER BY time LIMIT 1', values: ['no.u'], binary: true });
  assert.deepEqual(binary.rows, [{ tag: 'no.u', value: 0 }]);
  const both = await client.query('SELECT 1::int8 AS a; SELECT 2::int8 AS b');
  assert.deepEqual(both.map((answer) => answer.rows[0]), [{ a: '1' }, { b: '2' }]);
}

async function portions(client) {
  const cursor = client.query(new Cursor('SELECT i FROM generate_series(1, $1::int8) AS t(i)', [100]));
  assert.equal((await cursor.read(10)).length, 10);
  assert.equal((await cursor.read(1000)).length, 90);
  assert.equal((await cursor.read(10)).length, 0);
  await cursor.close();
  const early = client.query(new Cursor('SELECT i FROM generate_series(1, 1000000) AS t(i)'));
  await early.read(5);
  await early.close();
  let count = 0;
  for await (const row of client.query(new QueryStream('SELECT time, value FROM samples WHERE tag = $1', ['no.u'], { batchSize: 5 }))) count += row.value >= 0;
  assert.equal(count, 22);
  const lines = Array.from({ length: 5000 }, (_, i) => `no.u\t${at(1000 + i).toISOString()}\t${i}\n`);
  const copy = client.query(from('COPY samples(tag, time, value) FROM STDIN'));
  await pipeline(Readable.from(lines), copy);
  assert.equal(copy.rowCount, 5000);
  let text = '';
  const sink = new Writable({ write(piece, _, done) { text += piece; done(); } });
  await pipeline(client.query(to("COPY (SELECT value FROM samples WHERE tag = 'no.u' ORDER BY time LIMIT 3) TO STDOUT")), sink);
  assert.equal(text, '0\n0.5\n1\n');
}

async function errors(client) {
  const failed = await client.query('SELECT tag,\n nothing FROM samples').catch((error) => error);
  assert.deepEqual([failed.code, failed.position, failed.severity], ['42703', '14', 'ERROR']);
  const unknown = await client.query("INSERT INTO samples(tag, time, value) VALUES ('no.none', now(), 1)").catch((error) => error);
  assert.equal(unknown.code, '23503');
  await client.query('BEGIN');
  await client.query('SELECT nothing').catch(() => {});
  assert.equal((await client.query('SELECT 1').catch((error) => error)).code, '25P02');
  await client.query('ROLLBACK');
  assert.equal((await client.query('SELECT 1::int8 AS x')).rows[0].x, '1');
}

async function main() {
  const client = new Client();
  await client.connect();
  await types(client);
  await portions(client);
  await errors(client);
  await client.end();
  const pool = new Pool({ max: 8 });
  const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => pool.query('SELECT $1::int AS i', [i])));
  assert.deepEqual(answers.map((answer) => answer.rows[0].i), Array.from({ length: 100 }, (_, i) => i));
  await pool.end();

  const sql = postgres({ host: process.env.PGHOST, port: Number(process.env.PGPORT), user: process.env.PGUSER, database: process.env.PGDATABASE, max: 4, onnotice() {} });
  const rows = await sql`SELECT tag, time, value FROM samples WHERE tag = ${'no.u'} AND time >= ${at(3)} ORDER BY time LIMIT 1`;
  assert.deepEqual([...rows], [{ tag: 'no.u', time: at(3), value: 1.5 }]);
  const written = await sql`INSERT INTO samples ${sql([{ tag: 'no.u', time: at(-1), value: 5 }, { tag: 'no.u', time: at(-2), value: 6 }], 'tag', 'time', 'value')}`;
  assert.equal(written.count, 2);
  const [{ n }] = await sql`SELECT count(*)::int AS n FROM samples WHERE tag IN ${sql(['no.u', 'none'])} AND time < ${T0}`;
  assert.equal(n, 2);
  const [{ m }] = await sql`SELECT count(*)::int AS m FROM samples WHERE tag = ANY(${['no.u', 'none']}) AND time < ${T0}`;
  assert.equal(m, 2);
  let seen = 0;
  await sql`SELECT i FROM generate_series(1, 100) AS t(i)`.cursor(10, (part) => { seen += part.length; });
  assert.equal(seen, 100);
  const inside = await sql.begin('read only', async (tx) => (await tx`SELECT 1::int AS x`)[0].x);
  assert.equal(inside, 1);
  await sql.end();
}

main().catch((error) => { console.error(error); process.exit(1); });
