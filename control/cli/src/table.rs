//! Columns that stand under each other.

/// Lays `rows` out under `head`; numbers to the right, words to the left. Without rows, says
/// that there are `none`.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>], none: &str) -> String {
    if rows.is_empty() {
        return format!("{none}\n");
    }
    let head: Vec<String> = head.iter().map(|title| (*title).to_owned()).collect();
    let all = || std::iter::once(&head).chain(rows);
    let widths: Vec<usize> = (0..head.len())
        .map(|column| all().map(|row| width(&row[column])).max().unwrap_or(0))
        .collect();
    let right: Vec<bool> = (0..head.len())
        .map(|column| rows.iter().all(|row| is_number(&row[column])))
        .collect();

    let mut text = String::new();
    for row in all() {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[column] - width(cell));
            if column > 0 {
                line.push_str("  ");
            }
            if right[column] {
                line.push_str(&pad);
            }
            line.push_str(cell);
            if !right[column] {
                line.push_str(&pad);
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

fn is_number(cell: &str) -> bool {
    let good = |c: char| c.is_ascii_digit() || matches!(c, ',' | '.' | '-' | '%');
    !cell.is_empty() && cell.chars().all(good) && cell.parse::<std::net::Ipv4Addr>().is_err()
}

/// `number` with a comma at every third digit.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_left_and_numbers_right() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["a", "5", "10.0.0.2"]), row(["long", "1,500", "-"])];
        assert_eq!(
            table(&["NAME", "MTU", "REMOTE"], &rows, "none"),
            "NAME    MTU  REMOTE\n\
             a         5  10.0.0.2\n\
             long  1,500  -\n"
        );
        assert_eq!(table(&["NAME"], &[], "no ports"), "no ports\n");
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (12_345_678, "12,345,678"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
