// Python's strftime in the C locale, with glibc's padding flags, as templates use it to print today's date.

using System.Globalization;
using System.Text;

namespace InferenceServer.Chat.Templates;

internal static class Strftime
{
    public static string Format(RenderState state, DateTimeOffset time, string format)
    {
        StringBuilder text = new();
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%' || i + 1 == format.Length)
            {
                text.Append(format[i]);
                continue;
            }
            i++;
            char flag = format[i] is '-' or '_' or '0' or '^' or '#' && i + 1 < format.Length ? format[i++] : '\0';
            text.Append(Directive(state, time, format[i], flag));
        }
        return text.ToString();
    }

    private static string Directive(RenderState state, DateTimeOffset time, char directive, char flag)
    {
        string Number(int value, int width, char fill = '0')
        {
            char pad = flag switch { '_' => ' ', '0' => '0', _ => fill };
            string digits = value.ToString(CultureInfo.InvariantCulture);
            return flag == '-' ? digits : digits.PadLeft(width, pad);
        }
        string Name(string format)
        {
            string name = time.ToString(format, CultureInfo.InvariantCulture);
            return flag is '^' or '#' ? name.ToUpperInvariant() : name;
        }
        string Nested(string format) => Format(state, time, format);
        int hour12 = time.Hour % 12 == 0 ? 12 : time.Hour % 12;
        int monday = ((int)time.DayOfWeek + 6) % 7;
        return directive switch
        {
            'a' => Name("ddd"),
            'A' => Name("dddd"),
            'b' or 'h' => Name("MMM"),
            'B' => Name("MMMM"),
            'c' => Nested("%a %b %e %H:%M:%S %Y"),
            'C' => Number(time.Year / 100, 2),
            'd' => Number(time.Day, 2),
            'D' or 'x' => Nested("%m/%d/%y"),
            'e' => Number(time.Day, 2, ' '),
            'f' => ((time.Ticks % TimeSpan.TicksPerSecond) / 10).ToString("000000", CultureInfo.InvariantCulture),
            'F' => Nested("%Y-%m-%d"),
            'g' => Number(ISOWeek.GetYear(time.DateTime) % 100, 2),
            'G' => Number(ISOWeek.GetYear(time.DateTime), 4),
            'H' => Number(time.Hour, 2),
            'I' => Number(hour12, 2),
            'j' => Number(time.DayOfYear, 3),
            'k' => Number(time.Hour, 2, ' '),
            'l' => Number(hour12, 2, ' '),
            'm' => Number(time.Month, 2),
            'M' => Number(time.Minute, 2),
            'n' => "\n",
            'p' => flag == '#' ? (time.Hour < 12 ? "am" : "pm") : time.Hour < 12 ? "AM" : "PM",
            'P' => time.Hour < 12 ? "am" : "pm",
            'r' => Nested("%I:%M:%S %p"),
            'R' => Nested("%H:%M"),
            's' => time.ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture),
            'S' => Number(time.Second, 2),
            't' => "\t",
            'T' or 'X' => Nested("%H:%M:%S"),
            'u' => Number(monday + 1, 1),
            'U' => Number((time.DayOfYear + 6 - (int)time.DayOfWeek) / 7, 2),
            'V' => Number(ISOWeek.GetWeekOfYear(time.DateTime), 2),
            'w' => Number((int)time.DayOfWeek, 1),
            'W' => Number((time.DayOfYear + 6 - monday) / 7, 2),
            'y' => Number(time.Year % 100, 2),
            'Y' => Number(time.Year, 1),
            // The reference formats a time without a zone: both are empty.
            'z' or 'Z' => "",
            '%' => "%",
            _ => "%" + (flag == '\0' ? "" : flag.ToString()) + directive,
        };
    }
}
