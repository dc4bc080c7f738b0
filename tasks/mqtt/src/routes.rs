//! Which messages are taken, and how each is read: topic filters, and templates of topics.
//!
//! A filter alone (`sensors/#`) takes SenML packs. With a format before it, a filter may have places for what the
//! payload does not say, and options behind it:
//!
//! | | |
//! |---|---|
//! | `json:zigbee2mqtt/{name}` | numbers of a JSON object are `{name}/key` |
//! | `number:home/{name}/{kind}?unit=Cel` | the payload is a number, of the sensor `{name}/{kind}` |
//! | `influx:telegraf/#?precision=ms` | lines of InfluxDB's protocol, whose times are in milliseconds |
//! | `json:tele/+/SENSOR?time=at` | without `{name}`, what the wildcards stand for is the name |
//!
//! Options are `name`, `kind`, `unit`, `time` (the key of a JSON object's time) and `precision` (`s`, `ms`, `us`,
//! `ns`). Of several that fit a topic, the first holds.
//!
//! A message may be delivered once for each subscription that fits (MQTT 5, section 3.3.4), so there are as few as
//! possible: a filter that another one takes in is not subscribed to. Where two overlap all the same, a message counts
//! with the subscription that fits first, which the broker names.
//!
//! As wildcards do not reach topics that begin with `$`, here they do not reach what this task publishes itself.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use readings::name::push_escaped;
use readings::object::Device;
use readings::time::Precision;
use readings::{Item, Reading, Unreadable, influx, object, plain, senml};

/// The most filters there may be: a message names its subscriptions as the bits of a number.
pub const MOST: usize = 63;

/// Longest topic filter.
const FILTER_BYTES: usize = 256;

/// How a payload is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Senml,
    Json,
    Influx,
    Number,
}

/// What a level of a template stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Name,
    Kind,
    Unit,
}

/// One kind of messages.
#[derive(Debug, Clone)]
pub struct Route {
    format: Format,
    filter: String,
    /// Which level is what.
    places: Vec<(usize, Place)>,
    name: String,
    kind: String,
    unit: String,
    time_key: Option<String>,
    precision: Precision,
}

impl Route {
    /// Reads a filter, or a template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (format, rest) = match text.split_once(':') {
            Some(("senml", rest)) => (Format::Senml, rest),
            Some(("json", rest)) => (Format::Json, rest),
            Some(("influx", rest)) => (Format::Influx, rest),
            Some(("number", rest)) => (Format::Number, rest),
            _ => return Self::of(Format::Senml, String::from(text), Vec::new()),
        };
        let (template, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut filter, mut places) = (String::new(), Vec::new());
        for (number, level) in template.split('/').enumerate() {
            if number > 0 {
                filter.push('/');
            }
            let place = match level {
                "{name}" => Place::Name,
                "{kind}" => Place::Kind,
                "{unit}" => Place::Unit,
                level if level.contains(['{', '}']) => {
                    return Err("a place is {name}, {kind} or {unit}, a level of its own");
                }
                level => {
                    filter.push_str(level);
                    continue;
                }
            };
            filter.push('+');
            places.push((number, place));
        }
        let mut route = Self::of(format, filter, places)?;
        for option in options.split('&').filter(|option| !option.is_empty()) {
            route.set(option)?;
        }
        if format == Format::Senml && !(route.places.is_empty() && options.is_empty()) {
            return Err("a SenML pack says everything itself: it has no places and no options");
        }
        Ok(route)
    }

    fn of(format: Format, filter: String, places: Vec<(usize, Place)>) -> Result<Self, &'static str> {
        check(&filter)?;
        Ok(Self {
            format,
            filter,
            places,
            name: String::new(),
            kind: String::new(),
            unit: String::new(),
            time_key: None,
            precision: Precision::Nanoseconds,
        })
    }

    fn set(&mut self, option: &str) -> Result<(), &'static str> {
        let (key, value) = option.split_once('=').ok_or("an option is key=value")?;
        match key {
            "name" => self.name = value.to_string(),
            "kind" => self.kind = value.to_string(),
            "unit" if value.len() <= readings::UNIT_BYTES => self.unit = value.to_string(),
            "unit" => return Err("a unit has 16 bytes at most"),
            "time" if self.format == Format::Json => self.time_key = Some(value.to_string()),
            "precision" if self.format == Format::Influx => {
                self.precision = Precision::of(value).ok_or("a precision is s, ms, us or ns")?;
            }
            _ => return Err("an option is name, kind or unit; time of a JSON object; precision of lines"),
        }
        Ok(())
    }

    /// Whether it fits a topic.
    fn fits(&self, topic: &str) -> bool {
        fits(pattern(&self.filter), topic)
    }

    /// Reads a payload and hands each [`Item`] in it to `take`. `now` dates what says no time.
    ///
    /// # Errors
    /// As the decoders have them.
    pub fn read(
        &self,
        topic: &str,
        payload: &[u8],
        now: f64,
        take: &mut dyn FnMut(Item<'_>),
    ) -> Result<(), Unreadable> {
        let unit = self.place(topic, Place::Unit).unwrap_or(&self.unit);
        if unit.len() > readings::UNIT_BYTES {
            return Err(Unreadable);
        }
        match self.format {
            Format::Senml => senml::read(payload, now, take),
            Format::Json => {
                let name = self.name(topic);
                object::read(payload, Device { name: &name, unit, time_key: self.time_key.as_deref() }, now, take)
            }
            Format::Number => {
                let name = self.name(topic);
                if !readings::name::is_name(name.as_bytes()) {
                    return Err(Unreadable);
                }
                plain::read(payload, Reading { name: &name, unit, time: now, dated: false, value: 0.0 }, take)
            }
            Format::Influx => {
                influx::read(payload, unit, self.precision, now, take);
                Ok(())
            }
        }
    }

    /// The sensor's name, as far as the topic says it, and its kind.
    fn name(&self, topic: &str) -> String {
        let mut name = String::new();
        let mut push = |part: &str| {
            if !name.is_empty() {
                name.push('/');
            }
            push_escaped(&mut name, part.bytes());
        };
        if !self.name.is_empty() {
            push(&self.name);
        } else if self.places.iter().any(|(_, place)| *place == Place::Name) {
            topic
                .split('/')
                .enumerate()
                .filter(|(level, _)| self.places.contains(&(*level, Place::Name)))
                .for_each(|(_, level)| push(level));
        } else if pattern(&self.filter).contains(['+', '#']) {
            let mut filter = pattern(&self.filter).split('/');
            let mut reaches = "";
            for (number, level) in topic.split('/').enumerate() {
                reaches = if reaches == "#" { reaches } else { filter.next().unwrap_or_default() };
                if matches!(reaches, "+" | "#") && self.places.iter().all(|(place, _)| *place != number) {
                    push(level);
                }
            }
        } else {
            push(topic);
        }
        match self.kind(topic) {
            "" => {}
            kind => push(kind),
        }
        name
    }

    /// What the sensors of a topic measure, as far as the topic or the template says it; otherwise empty.
    pub fn kind<'t>(&'t self, topic: &'t str) -> &'t str {
        self.place(topic, Place::Kind).unwrap_or(&self.kind)
    }

    /// The level of the topic that stands for this.
    fn place<'t>(&self, topic: &'t str, wanted: Place) -> Option<&'t str> {
        let (level, _) = self.places.iter().find(|(_, place)| *place == wanted)?;
        topic.split('/').nth(*level)
    }
}

/// What becomes of a message.
#[derive(Debug)]
pub enum Taken<'r> {
    /// It is read so.
    By(&'r Route),
    /// The same message comes for another subscription, with which it counts.
    Copy,
    /// This task, or another with the same topic for summaries, has published it.
    Own,
    /// Nobody has asked for it: a subscription of an earlier run, perhaps.
    Unasked,
}

/// All of them.
#[derive(Debug, Clone)]
pub struct Routes {
    routes: Vec<Route>,
    /// What is subscribed to; where each is in the list is its number, from 1 on.
    filters: Vec<String>,
    /// Topics of our own, with everything below them.
    own: Vec<String>,
}

impl Routes {
    /// The routes, and the subscriptions that they and `end`, a topic, need. `own` are topics that this task publishes.
    pub fn new(routes: Vec<Route>, end: Option<&str>, own: Vec<String>) -> Self {
        let wanted: Vec<&str> = routes.iter().map(|route| &*route.filter).chain(end).collect();
        let mut filters: Vec<String> = Vec::new();
        for (number, filter) in wanted.iter().enumerate() {
            let taken_in = |(other, wider): (usize, &&str)| {
                takes_in(wider, filter) && (!takes_in(filter, wider) || other < number) && other != number
            };
            if !wanted.iter().enumerate().any(taken_in) {
                filters.push(String::from(*filter));
            }
        }
        Self { routes, filters, own }
    }

    /// What to subscribe to.
    pub fn filters(&self) -> &[String] {
        &self.filters
    }

    /// Two subscriptions that a message may fit both, if there are any: without the broker's help it would count twice.
    pub fn overlap(&self) -> Option<(&str, &str)> {
        let pairs = self
            .filters
            .iter()
            .enumerate()
            .flat_map(|(number, one)| self.filters[number + 1..].iter().map(move |other| (&**one, &**other)));
        pairs.into_iter().find(|(one, other)| overlap(pattern(one), pattern(other)))
    }

    /// A filter that names topics of our own.
    pub fn naming_own(&self) -> Option<&str> {
        self.routes.iter().map(|route| &*route.filter).find(|filter| self.own.iter().any(|own| names(filter, own)))
    }

    /// What becomes of a message on this topic, which the broker delivers for these subscriptions.
    pub fn find(&self, topic: &str, subscriptions: u64) -> Taken<'_> {
        let own = self.own.iter().find(|own| is_below(topic, own));
        let reaches = |route: &&Route| route.fits(topic) && own.is_none_or(|own| names(&route.filter, own));
        let Some(route) = self.routes.iter().find(reaches) else {
            return if own.is_some() { Taken::Own } else { Taken::Unasked };
        };
        let first = self.filters.iter().position(|filter| fits(pattern(filter), topic));
        match first {
            Some(first) if subscriptions != 0 && subscriptions >> first & 1 == 0 => Taken::Copy,
            _ => Taken::By(route),
        }
    }
}

/// Checks a filter's length and its wildcards (MQTT 5, section 4.7.1).
fn check(filter: &str) -> Result<(), &'static str> {
    if filter.is_empty() || filter.len() > FILTER_BYTES {
        return Err("a topic filter has 1 to 256 bytes");
    }
    if filter.contains('\0') {
        return Err("a topic filter has no zero byte");
    }
    let pattern = pattern(filter);
    if filter.starts_with("$share/") && (pattern.len() == filter.len() || pattern.is_empty()) {
        return Err("a shared subscription is $share/group/filter");
    }
    let mut levels = pattern.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err("the wildcard # stands alone in the last level");
        }
        if level.contains('+') && level != "+" {
            return Err("the wildcard + stands alone in its level");
        }
    }
    Ok(())
}

/// What a filter compares topics with: all of it, but not the group of a shared subscription (section 4.8.2).
fn pattern(filter: &str) -> &str {
    let shared = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
    shared.map_or(filter, |(_, pattern)| pattern)
}

/// Whether a topic fits a pattern (section 4.7).
fn fits(pattern: &str, topic: &str) -> bool {
    // Wildcards do not stand for a first level like $SYS.
    if topic.starts_with('$') && !pattern.starts_with('$') {
        return false;
    }
    let (mut patterns, mut topics) = (pattern.split('/'), topic.split('/'));
    loop {
        match (patterns.next(), topics.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some(wanted), Some(level)) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
}

/// Whether all that fits the second filter fits the first. Shared subscriptions are for themselves.
fn takes_in(wider: &str, filter: &str) -> bool {
    if wider == filter {
        return true;
    }
    if wider.starts_with("$share/")
        || filter.starts_with("$share/")
        || filter.starts_with('$') && !wider.starts_with('$')
    {
        return false;
    }
    let (mut widers, mut levels) = (wider.split('/'), filter.split('/'));
    loop {
        match (widers.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

/// Whether some topic fits both patterns.
fn overlap(one: &str, other: &str) -> bool {
    let (mut ones, mut others) = (one.split('/'), other.split('/'));
    loop {
        match (ones.next(), others.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
            (Some(level), Some(same)) if level == same => {}
            _ => return false,
        }
    }
}

/// Whether a topic is another one, or below it.
fn is_below(topic: &str, above: &str) -> bool {
    topic.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a filter says without a wildcard that it is about a topic, or what is below it.
fn names(filter: &str, topic: &str) -> bool {
    let pattern = pattern(filter);
    let spelled = pattern.split('/').take_while(|level| !matches!(*level, "+" | "#"));
    let spelled = spelled
        .fold(String::new(), |path, level| if path.is_empty() { level.into() } else { format!("{path}/{level}") });
    is_below(&spelled, topic)
}

#[cfg(test)]
mod tests;
