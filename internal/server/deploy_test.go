package server

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"github.com/dialtone-id/dialtone/internal/config"
)

// expected are metrics that the dashboard and the alerts use and that are added with what they
// measure, with their labels. One that is registered is checked against what it really has.
func expected() map[string][]string {
	return map[string][]string{}
}

// measured is every metric of a server with its labels.
func measured(t *testing.T) map[string][]string {
	t.Helper()
	dir := t.TempDir()
	c, err := config.Load(config.Source{Dev: true, DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	core, err := OpenCore(context.Background(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := core.Close(); err != nil {
			t.Error(err)
		}
	})
	m := newMetrics("test")
	m.watch(core.DB, core.Ring, func() bool { return false })
	known := expected()
	desc := regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)
	for _, collector := range m.all {
		descs := make(chan *prometheus.Desc, 1000)
		collector.Describe(descs)
		close(descs)
		for d := range descs {
			found := desc.FindStringSubmatch(d.String())
			if found == nil {
				t.Fatalf("no name in %s", d)
			}
			labels := strings.FieldsFunc(found[2], func(r rune) bool { return r == ',' || r == ' ' })
			known[found[1]] = labels
			if _, ok := collector.(*prometheus.HistogramVec); ok {
				known[found[1]+"_bucket"], known[found[1]+"_count"], known[found[1]+"_sum"] = append(labels, "le"), labels, labels
			}
		}
	}
	return known
}

// rules is a file of Prometheus rules.
type rules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Record, Alert, Expr string
			For                 string
			Labels, Annotations map[string]string
		}
	}
}

func readRules(t *testing.T, file string) rules {
	t.Helper()
	f, err := os.Open(file) //nolint:gosec // of this repository
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r rules
	if err := yaml.NewDecoder(f).Decode(&r); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return r
}

// What alerts and the dashboard ask for exists: metrics, labels, and the
// sections of the runbook that they point to.
func TestDeployUsesWhatExists(t *testing.T) {
	t.Parallel()
	known := measured(t)
	recording, alerts := readRules(t, "../../deploy/prometheus/recording.yml"), readRules(t, "../../deploy/prometheus/alerts.yml")
	var expressions []string
	for _, g := range recording.Groups {
		for _, r := range g.Rules {
			known[r.Record] = recordedLabels(r.Expr)
			expressions = append(expressions, r.Expr)
		}
	}
	sections := headings(t, "../../docs/operations.md")
	for _, g := range alerts.Groups {
		for _, r := range g.Rules {
			expressions = append(expressions, r.Expr)
			if r.Alert == "" || r.Annotations["summary"] == "" || !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
				t.Errorf("alert %q lacks a name, a summary or a severity", r.Alert)
			}
			wantSection(t, sections, r.Annotations["runbook_url"])
		}
	}
	queries, links := dashboard(t)
	for _, link := range links {
		wantSection(t, sections, link)
	}
	for _, expr := range append(expressions, queries...) {
		for _, mistake := range mistakesOf(known, expr) {
			t.Error(mistake)
		}
	}
	if len(expressions) < 20 || len(queries) < 20 {
		t.Errorf("%d rules and %d queries were found", len(expressions), len(queries))
	}
}

func dashboard(t *testing.T) (queries, links []string) {
	t.Helper()
	raw, err := os.ReadFile("../../deploy/grafana/dialtone.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		UID, Title string
		Panels     []struct {
			ID          int
			Type, Title string
			GridPos     struct{ X, Y, W, H int }
			Links       []struct{ URL string }
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.X+p.GridPos.W > 24 || p.GridPos.H == 0 || p.Type != "row" && (len(p.Targets) == 0 || len(p.Links) == 0) {
			t.Errorf("panel %d %q is not whole", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			queries = append(queries, target.Expr)
		}
		for _, link := range p.Links {
			links = append(links, link.URL)
		}
	}
	return queries, links
}

// mistakesOf is no parser of PromQL: it takes away what is no metric and no
// label, and wants to know what is left.
func mistakesOf(known map[string][]string, expr string) (mistakes []string) {
	if strings.Count(expr, "(") != strings.Count(expr, ")") || strings.Count(expr, "{") != strings.Count(expr, "}") {
		mistakes = append(mistakes, "brackets do not match in "+expr)
	}
	left := regexp.MustCompile(`"[^"]*"`).ReplaceAllString(expr, "")
	var labels []string
	take := func(pattern string) {
		left = regexp.MustCompile(pattern).ReplaceAllStringFunc(left, func(s string) string {
			labels = append(labels, regexp.MustCompile(`[a-z_]+`).FindAllString(s[strings.IndexAny(s, "({"):], -1)...)
			return " "
		})
	}
	take(`\{[^}]*\}`)
	take(`\b(by|on|without|ignoring)\s*\([^)]*\)`)
	left = regexp.MustCompile(`\[[^\]]*\]|\boffset\s+\w+|\b(and|or|unless)\b|[a-z_]+\s*\(|\b[0-9.]+\b`).ReplaceAllString(left, " ")
	has := []string{"instance", "job"}
	for _, name := range regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`).FindAllString(left, -1) {
		of, ok := known[name]
		if !ok {
			mistakes = append(mistakes, "nothing measures "+name+", which is used in "+expr)
		}
		has = append(has, of...)
	}
	for _, label := range labels {
		if !slices.Contains(has, label) {
			mistakes = append(mistakes, "no metric of this has the label "+label+": "+expr)
		}
	}
	return mistakes
}

// recordedLabels are those that the first aggregation of a rule keeps.
func recordedLabels(expr string) []string {
	m := regexp.MustCompile(`by \(([^)]*)\)`).FindStringSubmatch(expr)
	if m == nil {
		return nil
	}
	return strings.Split(m[1], ", ")
}

// headings are a page's anchors, as the repository's web pages make them.
func headings(t *testing.T, file string) map[string]bool {
	t.Helper()
	raw, err := os.ReadFile(file) //nolint:gosec // of this repository
	if err != nil {
		t.Fatal(err)
	}
	anchors := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(raw), -1) {
		slug := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		anchors[strings.ReplaceAll(slug, " ", "-")] = true
	}
	return anchors
}

func wantSection(t *testing.T, sections map[string]bool, url string) {
	t.Helper()
	if _, anchor, ok := strings.Cut(url, "docs/operations.md#"); !ok || !sections[anchor] {
		t.Errorf("%q leads to no section of docs/operations.md", url)
	}
}

// The check above finds what it is for.
func TestDeployCheckFindsMistakes(t *testing.T) {
	t.Parallel()
	known := map[string][]string{"a_total": {"x"}, "b_seconds_bucket": {"le"}}
	for expr, want := range map[string]int{
		`sum by (x) (rate(a_total{x=~"a|b"}[5m]))`:                                                    0,
		`histogram_quantile(0.9, sum by (le) (rate(b_seconds_bucket[5m] offset 1d))) > 3 and a_total`: 0,
		`rate(c_total[5m])`:          1,
		`sum by (y) (a_total)`:       1,
		`a_total{z="1"}`:             1,
		`sum(rate(a_total[5m])`:      1,
		`sum by (y) (d_total{q=""})`: 3,
	} {
		if got := mistakesOf(known, expr); len(got) != want {
			t.Errorf("%s: %d mistakes, want %d: %v", expr, len(got), want, got)
		}
	}
}
