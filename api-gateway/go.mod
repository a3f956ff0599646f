module github.com/pyairtable/pyairtable/api-gateway

go 1.26.0

require github.com/pyairtable/pyairtable/pkg v0.0.0

replace github.com/pyairtable/pyairtable/pkg => ../pkg
