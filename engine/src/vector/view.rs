//! Matrices in slices.

use std::marker::PhantomData;

/// A row-major matrix in a slice, or its transpose: element (i, j) is at `i * row + j * column`.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row: usize,
    pub(super) column: usize,
}

impl<'a> View<'a> {
    /// `rows` rows of `columns` elements, `stride` apart.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> View<'a> {
        assert!(rows > 0 && columns > 0 && columns <= stride && data.len() >= (rows - 1) * stride + columns);
        View { data, rows, columns, row: stride, column: 1 }
    }

    /// `n` columns from `start` on.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn columns(self, start: usize, n: usize) -> View<'a> {
        View { data: &self.data[start * self.column..], columns: n, ..self }
    }

    /// The transpose.
    pub(crate) fn t(self) -> View<'a> {
        View { rows: self.columns, columns: self.rows, row: self.column, column: self.row, ..self }
    }
}

/// A row-major matrix that is written: columns of a wider one, which several threads may share, each with its own columns.
pub(crate) struct ViewMut<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    stride: usize,
    of: PhantomData<&'a mut [f32]>,
}

#[expect(unsafe_code, reason = "it is a mutable borrow of cells that lie apart")]
// SAFETY: no two of them have a cell in common: each is made of a slice that it borrows mutably, or of one of them that it replaces.
unsafe impl Send for ViewMut<'_> {}

impl<'a> ViewMut<'a> {
    /// `rows` rows of `columns` elements, `stride` apart.
    pub(crate) fn new(data: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> ViewMut<'a> {
        assert!(rows > 0 && columns > 0 && columns <= stride && data.len() >= (rows - 1) * stride + columns);
        ViewMut { start: data.as_mut_ptr(), rows, columns, stride, of: PhantomData }
    }

    /// Elements of a row.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Row r.
    pub(crate) fn row(&mut self, r: usize) -> &mut [f32] {
        assert!(r < self.rows);
        #[expect(unsafe_code, reason = "the row lies in a slice whose other columns belong to others")]
        // SAFETY: `new` has checked that the row lies in the slice, whose cells of these columns are borrowed by `self` alone.
        unsafe {
            std::slice::from_raw_parts_mut(self.start.add(r * self.stride), self.columns)
        }
    }

    /// `n` columns from `first` on.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn part(&mut self, first: usize, n: usize) -> ViewMut<'_> {
        assert!(n > 0 && first + n <= self.columns);
        #[expect(unsafe_code, reason = "a part of what is borrowed")]
        // SAFETY: the column lies in the first row.
        let start = unsafe { self.start.add(first) };
        ViewMut { start, rows: self.rows, columns: n, stride: self.stride, of: PhantomData }
    }

    /// The same, `width` columns each, as long as there are some.
    pub(crate) fn by_columns(self, width: usize) -> Vec<ViewMut<'a>> {
        let ViewMut { start, rows, columns, stride, of } = self;
        let part = |first: usize| {
            #[expect(unsafe_code, reason = "the parts lie apart")]
            // SAFETY: the first column lies in the first row.
            let start = unsafe { start.add(first) };
            ViewMut { start, rows, columns: width.min(columns - first), stride, of }
        };
        (0..columns).step_by(width).map(part).collect()
    }
}
