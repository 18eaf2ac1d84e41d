module github.com/dialtone-id/dialtone

go 1.26.0
