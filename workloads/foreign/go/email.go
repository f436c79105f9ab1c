package main

import "net/smtp"

const (
	mailFrom = "sender@example.com"
	mailTo   = "receiver@example.com"
)

var mailText = []byte("From: <" + mailFrom + ">\r\nTo: <" + mailTo + ">\r\nSubject: Hello\r\n\r\nOne of many.\r\n")

func email(o order) (outcome, error) {
	tasks := o.get("tasks_count")
	server, err := startHelper("smtp", "--delay-ns", decimal(o.get("delay_ns")))
	if err != nil {
		return outcome{}, err
	}
	failed := make(chan error, tasks)
	out := outcome{operations: o.iterations * tasks}
	for range o.iterations {
		out.addTimed(func() {
			startAll(tasks, func(int64) int64 {
				failed <- smtp.SendMail(server.address, nil, mailFrom, []string{mailTo}, mailText)
				return 0
			})()
		})
		if wrong := firstOf(failed, tasks); err == nil {
			err = wrong
		}
	}
	var report struct {
		Accepted int64 `json:"accepted_count"`
		CPU      int64 `json:"cpu_ns"`
	}
	if ended := server.end(&report); err == nil {
		err = ended
	}
	out.checksum = report.Accepted
	out.metrics = map[string]float64{"load_busy_ratio": float64(report.CPU) / float64(max(out.elapsed, 1))}
	return out, err
}
