"""Scores of the customers in DuckDB SQL, from the Parquet files that the steps before have written."""

import numpy as np

from duckdb_orders import Job
from duckdb_sources import literal

CHANNELS = ("ownapp", "swiggy", "instore")
MEASURES = {"recency": "omnichannel_recency", "frequency": "omnichannel_order_count", "monetary": "total_spend"}


def scores(job: Job) -> None:
    """``scores.parquet``: days of orders, then customers, then their scores by the built-in rules."""
    settings = job.config["customer"].get("scores", {})
    job.con.execute(f"CREATE TEMP TABLE spend AS {_spend(job)}")
    job.con.execute(f"CREATE TEMP TABLE measured AS {_measured(job)}")
    below = {}
    for name, column in MEASURES.items():
        cuts = settings.get("rfm_cuts", {}).get(name)
        if cuts is None:
            values = job.con.execute(f"SELECT {column} FROM measured").fetchnumpy()[column]
            cuts = np.quantile(values, [0.2, 0.4, 0.6, 0.8]).tolist()
        below[name] = " + ".join(f"({column} > {cut!r}::DOUBLE)::INTEGER" for cut in cuts)
    points = f"5 - ({below['recency']}) AS r, 1 + {below['frequency']} AS f, 1 + {below['monetary']} AS m"
    days = settings.get("new_days", 30)
    job.con.execute(f"""COPY (SELECT algonomy_id, total_spend, spend_orders, missed_visits,
            CASE WHEN age <= {days} THEN 'new' WHEN omnichannel_order_count = 1 THEN 'one_time'
                WHEN missed_visits <= 1 THEN 'active' WHEN missed_visits <= 2 THEN 'due'
                WHEN missed_visits <= 3 THEN 'late' ELSE 'lapsed' END AS lifecycle,
            r AS r_score, f AS f_score, m AS m_score, concat(r, f, m) AS rfm, {_NAME} AS rfm_segment,
            clv_frequency, clv_recency_days, clv_t_days, clv_monetary_value
        FROM (SELECT *, {points} FROM measured))
        TO {literal(str(job.out / "scores.parquet"))} (FORMAT parquet)""")


_NAME = """CASE WHEN r >= 4 THEN 'recent' WHEN r = 3 THEN 'cooling' ELSE 'away' END ||
    CASE WHEN f >= 4 THEN '_frequent' || CASE WHEN m >= 4 AND r <> 3 THEN '_high_spend' ELSE '' END
        WHEN m >= 4 THEN '_high_spend' WHEN r >= 4 AND f = 1 THEN '_rare' ELSE '_occasional' END"""


def _spend(job: Job) -> str:
    """What each customer spent in the customer window, and per order day of the order window."""
    zone = literal(job.config["common"]["timezone"])
    start = max(job.config["customer"]["cutoff_date"], job.start.isoformat())
    rows = " UNION ALL ".join(
        f"SELECT algonomy_id, total_price AS price, CAST("
        f"{'BussTime' if name == 'instore' else f'timezone({zone}, order_placed_datetime)'} AS DATE) AS day "
        f"FROM read_parquet({literal(str(job.out / f'{name}.parquet'))})"
        for name in CHANNELS
    )
    return f"""WITH days AS (SELECT algonomy_id, day, coalesce(sum(price), 0) AS spend, count(price) AS priced
            FROM ({rows}) WHERE day >= DATE '{job.start}' AND day < DATE '{job.end}' GROUP BY ALL),
        firsts AS (SELECT *, min(day) OVER (PARTITION BY algonomy_id) AS first_day FROM days)
        SELECT algonomy_id, round(coalesce(sum(spend) FILTER (day >= DATE '{start}'), 0), 9) AS total_spend,
            coalesce(sum(priced) FILTER (day >= DATE '{start}'), 0)::BIGINT AS spend_orders,
            (count(*) - 1)::BIGINT AS clv_frequency, (max(day) - min(day))::BIGINT AS clv_recency_days,
            (DATE '{job.end}' - 1 - min(day))::BIGINT AS clv_t_days,
            coalesce(avg(spend) FILTER (day > first_day), 0) AS clv_monetary_value
        FROM firsts GROUP BY algonomy_id"""


def _measured(job: Job) -> str:
    return f"""SELECT s.*, omnichannel_recency, omnichannel_order_count,
            omnichannel_recency / omnichannel_avg_days_between_orders AS missed_visits,
            DATE '{job.end}' - CAST(omnichannel_first_order_at AS DATE) AS age
        FROM read_parquet({literal(str(job.out / "customers.parquet"))}) JOIN spend s USING (algonomy_id)"""
