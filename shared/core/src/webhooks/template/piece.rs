//! The pieces of a template: literal texts and fields of a payload. Pure.

use crate::webhooks::pointer::Pointer;
use crate::webhooks::reference;
use crate::webhooks::reference::{Reference, Shape, decoded};

/// A literal text, or a field.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    Literal(String),
    Field(Field),
}

/// A field in braces.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) pointer: Pointer,
    pub(super) kind: Kind,
    pub(super) is_optional: bool,
    /// The texts before and after the part that counts.
    shape: Option<Shape>,
}

/// How the text of a field is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A part of a tag.
    Tag,
    /// A segment of a path, or a part of one.
    Segment,
    /// Segments of a path.
    Path,
}

impl Field {
    /// Reads the text between braces.
    ///
    /// # Errors
    /// The mistake in it.
    pub(super) fn parse(inner: &str, is_of_tag: bool) -> Result<Self, String> {
        let (inner, kind) = match inner.strip_prefix('*') {
            Some(_) if is_of_tag => return Err("`{*…}` is for paths".into()),
            Some(inner) => (inner, Kind::Path),
            None => (inner, if is_of_tag { Kind::Tag } else { Kind::Segment }),
        };
        let (inner, shape) = match inner.split_once('|') {
            None => (inner, None),
            Some((inner, shape)) => (inner, Some(Shape::parse(shape)?)),
        };
        let (pointer, is_optional) = inner.strip_suffix('?').map_or((inner, false), |rest| (rest, true));
        Ok(Self { pointer: Pointer::parse(pointer)?, kind, is_optional, shape })
    }

    /// The part of a payload's text that the template takes; in a path, in the spelling of keys. `None`: the text does
    /// not have the wanted shape.
    ///
    /// # Errors
    /// No page can have such a text, and why.
    pub(super) fn part(&self, text: &str) -> Result<Option<String>, String> {
        let part = match (self.kind, &self.shape) {
            (Kind::Tag, None) => return Ok(Some(text.to_owned())),
            (Kind::Tag, Some(shape)) => match shape.cut(text).map(str::to_owned) {
                Some(part) => Some(part),
                None => shape.cut_path(text)?.map(|part| decoded(&part).into_owned()),
            },
            (Kind::Segment, None) => Some(reference::segment(text)),
            (Kind::Path, None) => Some(reference::path(Reference::parse(text)?.below_root())),
            (Kind::Segment | Kind::Path, Some(shape)) => shape.cut_path(text)?,
        };
        Ok(match (self.kind, part) {
            (Kind::Segment, Some(part)) if self.shape.is_none() && part.is_empty() => {
                return Err("a text is empty".into());
            }
            // Like in a shell, `*` matches no slash.
            (Kind::Segment, Some(part)) if part.is_empty() || part.contains('/') => None,
            (Kind::Tag, Some(part)) if part.is_empty() || part.contains('/') => None,
            (Kind::Path, Some(part)) => Some(part.strip_prefix('/').unwrap_or(&part).to_owned()),
            (_, part) => part,
        })
    }
}

impl Piece {
    /// The text of a literal piece.
    pub(super) fn literal(&self) -> Option<&str> {
        match self {
            Piece::Literal(text) => Some(text),
            Piece::Field(_) => None,
        }
    }
}
