// A go-plugin host as the Cosmo Router is one, to try plugins against the real library.
//
// It starts the program given, shakes hands, asks for health, calls methods if told to, and stops it. Requests and
// responses are raw bytes in hexadecimal, so that no service has to be known here. It prints `key=value` lines: what
// held so far, then `error=` if something did not, and exits with 0 only if everything did, an orderly stop included.
//
// Debian's packages golang-go, golang-github-hashicorp-go-plugin-dev and golang-google-grpc-dev suffice:
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o go-host main.go
package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

const (
	cookie        = "GRPC_DATASOURCE_PLUGIN"
	pluginName    = "plugin"
	killedMessage = "plugin failed to exit gracefully"
)

type options struct {
	program        string
	dir            string
	startupConfig  string
	cookieValue    string
	socketDir      string
	method         string
	request        string
	failing        string
	fill           int
	minPort        uint
	maxPort        uint
	startTimeout   time.Duration
	callTimeout    time.Duration
	hold           time.Duration
	keepEnv        bool
	showPluginLogs bool
}

func main() {
	var o options
	flag.StringVar(&o.program, "plugin", "", "the program to start (required)")
	flag.StringVar(&o.dir, "cwd", "", "its working directory; this process's own if empty")
	flag.StringVar(&o.startupConfig, "startup-config", "{}", "the value of startup_config; unset if empty")
	flag.StringVar(&o.cookieValue, "cookie", cookie, "the value of the magic cookie")
	flag.StringVar(&o.socketDir, "socket-dir", "", "the value of PLUGIN_UNIX_SOCKET_DIR; unset if empty")
	flag.StringVar(&o.method, "method", "", "a unary method to call, such as /service.NameService/QueryHello")
	flag.StringVar(&o.request, "request", "", "its request in hexadecimal")
	flag.StringVar(&o.failing, "failing", "", "a request in hexadecimal to send before, which must fail")
	flag.IntVar(&o.fill, "fill", 0, "sends field 1 as a string of that many `bytes` instead of -request")
	flag.UintVar(&o.minPort, "min-port", 10000, "the lowest port it may listen on")
	flag.UintVar(&o.maxPort, "max-port", 25000, "the highest port it may listen on")
	flag.DurationVar(&o.startTimeout, "start-timeout", time.Minute, "how long the handshake may take")
	flag.DurationVar(&o.callTimeout, "call-timeout", 30*time.Second, "how long one call may take")
	flag.DurationVar(&o.hold, "hold", 0, "how long to let it run before the stop")
	flag.BoolVar(&o.keepEnv, "keep-env", false, "let the plugin inherit the environment, which the router does not")
	flag.BoolVar(&o.showPluginLogs, "logs", false, "print the log, re-levelled, on stderr")
	flag.Parse()
	if o.program == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}

	if err := run(o); err != nil {
		fmt.Printf("error=%s\n", strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", " "))
		os.Exit(1)
	}
}

// run takes a plugin through its whole life.
func run(o options) error {
	request, err := o.requestBytes()
	if err != nil {
		return err
	}
	program, err := filepath.Abs(o.program)
	if err != nil {
		return err
	}

	command := exec.Command(program)
	command.Dir = o.dir
	// Apart from our Ctrl-C, and told to go when we die.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if !o.keepEnv {
		// This release of the library always adds our own environment to the plugin's; the router's does not.
		os.Clearenv()
	}
	if o.startupConfig != "" {
		command.Env = append(command.Env, "startup_config="+o.startupConfig)
	}
	if o.socketDir != "" {
		command.Env = append(command.Env, "PLUGIN_UNIX_SOCKET_DIR="+o.socketDir)
	}

	log := &logBuffer{}
	if o.showPluginLogs {
		log.copy = os.Stderr
	}
	client := plugin.NewClient(&plugin.ClientConfig{
		Cmd:              command,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  1,
			MagicCookieKey:   cookie,
			MagicCookieValue: o.cookieValue,
		},
		Plugins:      map[string]plugin.Plugin{pluginName: connPlugin{}},
		MinPort:      o.minPort,
		MaxPort:      o.maxPort,
		StartTimeout: o.startTimeout,
		Logger:       hclog.New(&hclog.LoggerOptions{Name: "host", Level: hclog.Trace, Output: log}),
	})

	err = converse(client, o, request)
	if err == nil {
		time.Sleep(o.hold)
	}

	// The process is stopped whatever happened; how it went matters only when the rest went well.
	begin := time.Now()
	client.Kill()
	if err != nil {
		return err
	}
	if !client.Exited() {
		return errors.New("the plugin is still running")
	}
	graceful := !log.contains(killedMessage)
	fmt.Printf("graceful=%t\n", graceful)
	fmt.Printf("stop_ms=%d\n", time.Since(begin).Milliseconds())
	if code := command.ProcessState; code != nil {
		fmt.Printf("exit_code=%d\n", code.ExitCode())
	}
	if !graceful {
		return errors.New(killedMessage)
	}
	if command.ProcessState != nil && !command.ProcessState.Success() {
		return fmt.Errorf("the plugin ended with %s", command.ProcessState)
	}
	return nil
}

// converse does all that needs the plugin running.
func converse(client *plugin.Client, o options, request []byte) error {
	protocol, err := client.Client()
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	reattach := client.ReattachConfig()
	fmt.Printf("handshake=ok\nnetwork=%s\naddress=%s\n", reattach.Addr.Network(), reattach.Addr)

	raw, err := protocol.Dispense(pluginName)
	if err != nil {
		return fmt.Errorf("dispense: %w", err)
	}
	connection, ok := raw.(*grpc.ClientConn)
	if !ok {
		return fmt.Errorf("dispense gave a %T", raw)
	}

	ctx, cancel := context.WithTimeout(context.Background(), o.callTimeout)
	defer cancel()
	health, err := grpc_health_v1.NewHealthClient(connection).Check(ctx,
		&grpc_health_v1.HealthCheckRequest{Service: plugin.GRPCServiceName})
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	fmt.Printf("health=%s\n", health.Status)
	if health.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("health: %s", health.Status)
	}

	if o.method == "" {
		return nil
	}
	if o.failing != "" {
		bad, err := hex.DecodeString(o.failing)
		if err != nil {
			return fmt.Errorf("-failing: %w", err)
		}
		var response []byte
		err = connection.Invoke(ctx, o.method, bad, &response, grpc.ForceCodec(rawCodec{}))
		if err == nil {
			return errors.New("call: the failing one succeeded")
		}
		fmt.Printf("failed=%s\n", status.Code(err))
	}
	var response []byte
	if err := connection.Invoke(ctx, o.method, request, &response, grpc.ForceCodec(rawCodec{})); err != nil {
		return fmt.Errorf("call: %w", err)
	}
	fmt.Printf("response_bytes=%d\n", len(response))
	if o.fill == 0 {
		fmt.Printf("response=%s\n", hex.EncodeToString(response))
	}
	return nil
}

// requestBytes gives the message to send: the bytes told, or a large string as field 1.
func (o options) requestBytes() ([]byte, error) {
	if o.fill == 0 {
		request, err := hex.DecodeString(o.request)
		if err != nil {
			return nil, fmt.Errorf("-request: %w", err)
		}
		return request, nil
	}
	if o.fill < 0 {
		return nil, errors.New("-fill: negative")
	}
	message := []byte{1<<3 | 2}
	for length := o.fill; ; length >>= 7 {
		if length < 0x80 {
			message = append(message, byte(length))
			break
		}
		message = append(message, byte(length)|0x80)
	}
	return append(message, bytes.Repeat([]byte{'x'}, o.fill)...), nil
}

// connPlugin hands out the bare connection, as the router's own does.
type connPlugin struct {
	plugin.NetRPCUnsupportedPlugin
}

func (connPlugin) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("this is a host")
}

func (connPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, connection *grpc.ClientConn) (interface{}, error) {
	return connection, nil
}

// rawCodec passes message bytes through unchanged.
type rawCodec struct{}

func (rawCodec) Marshal(message interface{}) ([]byte, error) {
	payload, ok := message.([]byte)
	if !ok {
		return nil, fmt.Errorf("cannot send a %T", message)
	}
	return payload, nil
}

func (rawCodec) Unmarshal(payload []byte, message interface{}) error {
	target, ok := message.(*[]byte)
	if !ok {
		return fmt.Errorf("cannot receive into a %T", message)
	}
	*target = append([]byte(nil), payload...)
	return nil
}

// Name is the content subtype: to the plugin, ours are ordinary messages.
func (rawCodec) Name() string { return "proto" }

// logBuffer keeps the library's log, for what it says of the stop is to be had nowhere else.
type logBuffer struct {
	mutex sync.Mutex
	text  bytes.Buffer
	copy  io.Writer
}

func (l *logBuffer) Write(line []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.copy != nil {
		_, _ = l.copy.Write(line)
	}
	return l.text.Write(line)
}

func (l *logBuffer) contains(text string) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return bytes.Contains(l.text.Bytes(), []byte(text))
}
