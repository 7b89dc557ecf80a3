//! The screen. Draws the model and changes nothing.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState, Wrap};

use crate::model::Model;
use crate::snapshot::{Snapshot, Tenant, short, short_count};
use crate::update::KEYS;

const SMALLEST: (u16, u16) = (60, 15);

/// The terminal's own 16 colours, or none; the words say the same without them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Theme {
    pub colour: bool,
}

impl Theme {
    fn heading(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    fn alarm(self) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD);
        if self.colour { style.fg(Color::Red) } else { style }
    }

    fn old(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}

/// Column titles with widths; the name takes what is left.
const COLUMNS: [(&str, u16); 6] =
    [("TENANT", 0), ("CONN", 5), ("REQ/s", 7), ("IN B/s", 7), ("OUT B/s", 7), ("REFUSED/s", 9)];

pub(crate) fn view(model: &Model, theme: Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let text = format!(
            "gateway-top needs a terminal of {}x{}, this one is {}x{}",
            SMALLEST.0, SMALLEST.1, area.width, area.height
        );
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        return;
    }
    let [header, body, footer] =
        Layout::vertical([Constraint::Length(3), Constraint::Min(1), Constraint::Length(1)]).areas(area);
    draw_header(model, theme, frame, header);
    if model.help {
        draw_help(frame, body);
    } else {
        draw_tenants(model, theme, frame, body);
    }
    let keys: Vec<String> = KEYS.iter().map(|(key, does)| format!("{key} {does}")).collect();
    frame.render_widget(Paragraph::new(keys.join(" | ")), footer);
}

fn draw_header(model: &Model, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let (version, state) = match &model.shown {
        None => ("", "reading"),
        Some(shown) if shown.healthy => (shown.version.as_str(), "ok"),
        Some(shown) => (shown.version.as_str(), "down"),
    };
    let age = model.age().map_or("no data yet".to_owned(), |age| format!("{:.1}s ago", age.as_secs_f64()));
    let paused = if model.paused { format!(" | paused +{}", model.held_back) } else { String::new() };
    let interval = model.interval.as_secs();
    let title = format!("gateway-top {version} | {state} | RO | {interval}s . {age}{paused} | {}", model.gateway);
    let mut lines = vec![Line::styled(title, theme.heading())];
    if let Some(trouble) = &model.trouble {
        let retry = model.due.saturating_sub(model.now).as_secs();
        let old = if model.shown.is_some() { ", values are old" } else { "" };
        lines.push(Line::styled(format!("no answer{old}, next try in {retry}s"), theme.alarm()));
        lines.push(Line::styled(trouble.as_str(), theme.alarm()));
    } else if let Some(shown) = &model.shown {
        lines.push(Line::styled(totals(shown), alarming(shown, theme)));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn totals(shown: &Snapshot) -> String {
    let connections = shown.tenants.iter().map(|tenant| tenant.connections).sum::<u64>();
    let mut text = format!("{} tenants | {} conn", shown.tenants.len(), short_count(connections));
    for (count, what) in [(shown.authentication_failures, "failed logins"), (shown.frames_refused, "refused frames")] {
        if let Some(count) = count {
            text.push_str(&format!(" | {} {what}", short_count(count)));
        }
    }
    if let Some(count) = shown.isolation_violations.filter(|count| *count > 0) {
        text.push_str(&format!(" | ISOLATION VIOLATIONS {}", short_count(count)));
    }
    text
}

fn alarming(shown: &Snapshot, theme: Theme) -> Style {
    if shown.isolation_violations.is_some_and(|count| count > 0) || !shown.healthy {
        theme.alarm()
    } else {
        Style::new()
    }
}

fn draw_tenants(model: &Model, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let Some(shown) = &model.shown else { return };
    if shown.tenants.is_empty() {
        frame.render_widget(Paragraph::new("no virtual clusters yet"), area);
        return;
    }
    let widths = COLUMNS.map(|(_, width)| if width == 0 { Constraint::Min(16) } else { Constraint::Length(width) });
    let titles = COLUMNS.map(|(title, width)| Cell::from(format!("{title:>width$}", width = usize::from(width))));
    let rows = shown.tenants.iter().map(|tenant| row(tenant, theme));
    let style = if model.trouble.is_some() { theme.old() } else { Style::new() };
    let table = Table::new(rows, widths)
        .header(Row::new(titles).style(theme.heading()))
        .row_highlight_style(theme.selected())
        .style(style);
    let mut state = TableState::default().with_selected(Some(model.selected_row()));
    frame.render_stateful_widget(table, area, &mut state);
}

fn row(tenant: &Tenant, theme: Theme) -> Row<'static> {
    let cells = cells(tenant).into_iter().zip(COLUMNS);
    let row =
        Row::new(cells.map(|(text, (_, width))| Cell::from(format!("{text:>width$}", width = usize::from(width)))));
    if tenant.refusals_per_second.is_some_and(|rate| rate > 0.0) { row.style(theme.alarm()) } else { row }
}

fn cells(tenant: &Tenant) -> [String; 6] {
    [
        tenant.name.clone(),
        short_count(tenant.connections),
        short(tenant.requests_per_second),
        short(tenant.bytes_in_per_second),
        short(tenant.bytes_out_per_second),
        short(tenant.refusals_per_second),
    ]
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let mut lines: Vec<Line<'_>> = KEYS.iter().map(|(key, does)| Line::raw(format!("{key:>7}  {does}"))).collect();
    lines.push(Line::raw("RO: this program only reads. IN is what clients send, OUT what they get."));
    frame.render_widget(Paragraph::new(lines), area);
}

/// The same rows as text, for `--once`.
pub(crate) fn table(snapshot: &Snapshot) -> String {
    let titles = COLUMNS.map(|(title, _)| title.to_owned());
    let rows: Vec<[String; 6]> = std::iter::once(titles).chain(snapshot.tenants.iter().map(cells)).collect();
    let name = rows.iter().map(|row| row[0].chars().count()).max().unwrap_or(0);
    let line = |row: [String; 6]| {
        let numbers = row[1..].iter().zip(&COLUMNS[1..]);
        let numbers: String =
            numbers.map(|(text, (_, width))| format!(" {text:>width$}", width = usize::from(*width))).collect();
        format!("{:<name$}{numbers}\n", row[0])
    };
    rows.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;
    use crate::snapshot::tests::{reading, told};
    use crate::update::tests::{model, press};
    use crate::update::update;
    use crossterm::event::KeyCode;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use std::time::Duration;

    fn screen(model: &Model, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let theme = Theme { colour: false };
        let drawn = terminal.draw(|frame| view(model, theme, frame)).unwrap();
        let coloured = drawn.buffer.content.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        assert!(!coloured, "a colour without leave");
        let rows = drawn.buffer.content.chunks(usize::from(width));
        rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn the_smallest_screen_holds_everything() {
        let expected = "\
gateway-top 0.1.0 | ok | RO | 2s . 0.0s ago | http://127.0.0
2 tenants | 3 conn | 2 failed logins | 2 refused frames

TENANT                CONN   REQ/s  IN B/s OUT B/s REFUSED/s
idle                     0       0       0       0         0
payments                 3     200    200k       0         0
";
        let text = screen(&model(), 60, 15);
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("q quit | space pause | r read now | j k down, up | g G first\n"), "{text}");
    }

    #[test]
    fn a_smaller_screen_says_so() {
        assert!(screen(&model(), 59, 15).starts_with("gateway-top needs a terminal of 60x15, this one is 59x15"));
    }

    #[test]
    fn any_size_and_state_is_drawn_without_panic() {
        let mut states = vec![model(), Model::new("http://g".into(), Duration::from_secs(2))];
        states.push(model());
        press(&mut states[2], KeyCode::Char('?'));
        for model in &states {
            for (width, height) in [(1, 1), (20, 3), (60, 15), (61, 16), (80, 24), (250, 100)] {
                let _ = screen(model, width, height);
            }
        }
    }

    #[test]
    fn trouble_is_a_banner_over_old_values() {
        let mut model = model();
        update(&mut model, Message::Read(Err("connection refused".into())));
        let text = screen(&model, 100, 15);
        assert!(text.contains("no answer, values are old, next try in 2s\nconnection refused\n"), "{text}");
        assert!(text.contains("payments"), "{text}");
    }

    #[test]
    fn a_hostile_name_stays_in_its_cell() {
        let mut model = model();
        let mut hostile = told(900);
        hostile.virtual_clusters[0].virtual_cluster = "x\x1b[31m\u{202e}evil".to_owned();
        let hostile = crate::snapshot::Reading::new(Duration::from_secs(9), &hostile);
        update(&mut model, Message::Read(Ok(hostile)));
        assert!(screen(&model, 80, 15).contains("\nx·[31m·evil "), "{}", screen(&model, 80, 15));
    }

    #[test]
    fn the_table_of_once_is_aligned() {
        let snapshot = Snapshot::between("http://g", Some(&reading(1, 100)), &reading(3, 500));
        let expected = "\
TENANT    CONN   REQ/s  IN B/s OUT B/s REFUSED/s
idle         0       0       0       0         0
payments     3     200    200k       0         0
";
        assert_eq!(table(&snapshot), expected);
    }
}
