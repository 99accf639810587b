package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/inbox"
	"github.com/decodersring/decoder/internal/sink/elastic"
	"github.com/decodersring/decoder/internal/sink/notify"
	storesink "github.com/decodersring/decoder/internal/sink/store"
	"github.com/decodersring/decoder/internal/source/machine"
	"github.com/decodersring/decoder/internal/stage/detect"
	"github.com/decodersring/decoder/internal/stage/normalise"
	"github.com/decodersring/decoder/internal/store/vlogs"
)

// Names of the clients; their groups and dead letters are named after them.
const (
	clientNormalise = "normalise"
	clientDetect    = "detect"
	clientStore     = "store"
	clientInbox     = "inbox"
	clientElastic   = "elastic"
)

// clientSpecs is the list of every stage and sink of the program.
func (a *App) clientSpecs(ctx context.Context, view *inbox.Inbox) ([]client.Spec, error) {
	events, err := normalise.New(normalise.Options{Home: a.home, Sensor: a.sensorName()})
	if err != nil {
		return nil, err
	}
	alerts := detect.New(detect.Suricata{}, detect.Gap{})
	specs := []client.Spec{
		{Name: clientNormalise, Inputs: events.Inputs(), Outputs: events.Outputs(), Stage: events, InFlight: 8 << 20},
		{Name: clientDetect, Inputs: alerts.Inputs(), Outputs: alerts.Outputs(), Stage: alerts, InFlight: 4 << 20},
		{Name: clientInbox, Inputs: inbox.Topics(), Sink: view, Gather: 50 * time.Millisecond, InFlight: 4 << 20},
	}
	mail, err := a.mailSpecs(ctx)
	if err != nil {
		return nil, err
	}
	specs = append(specs, mail...)
	if a.store != nil {
		// Small batches: what a larger one is turned into falls out of the
		// processor's caches before it is written.
		specs = append(specs, client.Spec{
			Name: clientStore, Inputs: storesink.Topics(),
			Sink: storesink.New(a.store), FlushEvery: 5 * time.Second, BatchRecords: 250, InFlight: 12 << 20,
		})
	}
	if c := a.options.Config.Elastic; c.URL != "" {
		sink, err := a.elasticSink(c)
		if err != nil {
			return nil, err
		}
		specs = append(specs, client.Spec{
			Name: clientElastic, Inputs: []string{bus.TopicEvents, bus.TopicAlerts, bus.TopicEmailAlert}, Sink: sink, InFlight: 12 << 20,
		})
	}
	for i := range specs {
		specs[i].Version = a.options.Version
		if owned(specs[i].Name) {
			specs[i].Group = a.ownGroup(specs[i].Name)
		}
	}
	told, err := a.notifySpecs(ctx)
	if err != nil {
		return nil, err
	}
	specs = append(specs, told...)
	for _, own := range a.options.Config.Stages {
		spec, err := own.Spec(a.options.Version, a.scope("stage "+own.Name))
		if err != nil {
			return nil, err
		}
		specs = append(specs, spec)
	}
	return specs, nil
}

// owned reports the clients that write to what is the instance's own. Each
// instance needs all of the records for them; the work of all others is shared
// by the instances on a cluster.
func owned(client string) bool { return client == clientStore || client == clientInbox }

// ownGroup is the consumer group that the instance has for itself. On a
// cluster it bears the instance's name; "" is the client's usual one.
func (a *App) ownGroup(client string) string {
	if a.bus.Embedded() {
		return ""
	}
	return "decoder-" + client + "-" + a.instance
}

// elsewhere reports the groups that other instances have for themselves.
func (a *App) elsewhere(group string) bool {
	for _, name := range []string{clientStore, clientInbox} {
		if strings.HasPrefix(group, "decoder-"+name) && group != cmp.Or(a.ownGroup(name), "decoder-"+name) {
			return true
		}
	}
	return false
}

func (a *App) elasticSink(c elastic.Config) (*elastic.Sink, error) {
	secure, err := loadTLS("elastic", c.CA, c.Cert, c.Key)
	if err != nil {
		return nil, err
	}
	return elastic.New(c, secure, a.scope(clientElastic))
}

// startLog starts the embedded log, or reaches the cluster.
func (a *App) startLog(ctx context.Context) error {
	budget, err := a.budget()
	if err != nil {
		return err
	}
	c, err := a.options.Config.Bus.options()
	if err != nil {
		return err
	}
	if a.options.Parts.Sensor {
		a.life.start("reserve", newReserve(a.path("reserve"), int64(a.options.Config.Disk.Free), a.scope("reserve").Logger()).Run)
	}
	if len(c.Brokers) == 0 {
		// An embedded log is this process's own, which takes its place in the
		// groups again after a restart; many processes may share a cluster.
		c.Dir, c.Instance = LogDir(a.options.Data), "decoder"
		c.Budget, c.MinFree = budget.log, int64(a.options.Config.Disk.Free)
		if a.options.Parts.Web { // else it is for this process alone
			c.Listen = a.options.Config.Bus.Listen.Host
		}
	}
	if a.instance, err = a.dir.instance(); err != nil {
		return err
	}
	if a.bus, err = bus.Open(ctx, c, a.scope("log")); err != nil {
		return cannotListen(err, "--kafka", "bus.listen")
	}
	a.life.start("log", func(ctx context.Context) error {
		defer a.bus.Close()
		select {
		case <-ctx.Done():
			return nil
		case err := <-a.bus.Failed():
			return err
		}
	})
	a.clients = client.NewRuntime(a.bus, a.scope("clients"))
	return a.tellLog()
}

// clientProperties is the name of the file that Kafka clients sign in with.
const clientProperties = "client.properties"

// tellLog says how other programs reach the log.
func (a *App) tellLog() error {
	if a.bus.Address() == "" {
		a.info.Log = strings.Join(a.bus.Brokers(), ",")
		return nil
	}
	link := a.path(clientProperties)
	err := os.Symlink(filepath.Join("log", clientProperties), link)
	if err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("placing %s: %w", clientProperties, err)
	}
	a.info.Log = "kcat -F " + link + " -L"
	return nil
}

// startStore opens the embedded store.
func (a *App) startStore(ctx context.Context) error {
	budget, err := a.budget()
	if err != nil {
		return err
	}
	c := a.options.Config
	a.store, err = vlogs.New(vlogs.Config{
		Dir:     a.path("store"),
		LiveAge: time.Duration(c.Store.Retention), LiveBytes: budget.live,
		CaptureAge: time.Duration(c.Store.Captures), CaptureBytes: budget.captures,
		RerunAge: bus.Lookup(bus.TopicReruns).Retention, RerunBytes: budget.reruns,
		MinFreeBytes: int64(c.Disk.Free) / 2, // the log's intake stops before
	}, a.scope("store"))
	if err != nil {
		return err
	}
	a.life.start("store", a.store.Run)
	return a.life.ready(ctx, "store", a.store.Ready())
}

// startClients opens the view of alerts and starts every stage and sink.
func (a *App) startClients(ctx context.Context) error {
	if len(a.options.Only) > 0 {
		return a.startOnly(ctx)
	}
	db, err := a.openDB(ctx, inbox.Schema())
	if err != nil {
		return err
	}
	view := inbox.New(db, a.bus, a.scope("inbox"))
	a.life.start("inbox", view.Run)
	specs, err := a.clientSpecs(ctx, view)
	if err != nil {
		return err
	}
	for _, spec := range specs {
		c, err := a.clients.New(spec)
		if err != nil {
			return err
		}
		run := c.Run
		if spec.Name == clientInbox {
			a.inbox = newRebuildable(view, a.bus, c.Run)
			run = a.inbox.Run
		}
		a.life.start("client "+spec.Name, run)
	}
	a.startReruns()
	return a.startMachine()
}

// startOnly starts the clients chosen: the stages, and the sinks whose other
// side all processes reach. The others belong to the instance that has what
// they write to.
func (a *App) startOnly(ctx context.Context) error {
	specs, err := a.clientSpecs(ctx, nil)
	if err != nil {
		return err
	}
	specs = slices.DeleteFunc(specs, func(s client.Spec) bool {
		return s.Stage == nil && s.Name != clientElastic && !strings.HasPrefix(s.Name, notify.Prefix)
	})
	for _, name := range a.options.Only {
		i := slices.IndexFunc(specs, func(s client.Spec) bool { return s.Name == name })
		if i < 0 {
			var known []string
			for _, s := range specs {
				known = append(known, s.Name)
			}
			return fmt.Errorf("there is no client %q: want some of %s", name, strings.Join(known, ", "))
		}
		c, err := a.clients.New(specs[i])
		if err != nil {
			return err
		}
		a.life.start("client "+name, c.Run)
	}
	return nil
}

// startMachine starts the source that watches the machine and the clients.
func (a *App) startMachine() error {
	budget, err := a.budget()
	if err != nil {
		return err
	}
	deps := machine.Deps{To: a.bus, Clients: a.clients.Status, Refused: a.bus.Refused, Scope: a.scope("machine")}
	if a.bus.Embedded() {
		deps.DeadLetters = func(ctx context.Context) (int64, int64, error) {
			taken, err := a.bus.DeadBytes(ctx)
			return taken, budget.log, err
		}
	}
	watch := machine.New(machine.Options{Dir: a.options.Data, Host: a.sensorName(), Reserve: int64(a.options.Config.Disk.Free)}, deps)
	a.life.start("machine", watch.Run)
	return nil
}

// searchable returns when everything the ingest topics hold now has gone all
// the way: into the store and the inbox.
func (a *App) searchable(ctx context.Context) error {
	clients := []string{clientNormalise, clientDetect, clientInbox}
	if a.store != nil {
		clients = append(clients, clientStore)
	}
	for _, name := range clients {
		if err := a.clients.Drain(ctx, name); err != nil {
			return err
		}
	}
	return nil
}
