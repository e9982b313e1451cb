// Sums and comparisons. A sum too hard for one step is written out in steps that are not: 47 + 35 = 47 + 30 + 5 = 77 + 5 = 82.
namespace InferenceServer.Training.Corpus;

public sealed partial class Skills
{
    public IReadOnlyList<Exchange> Arithmetic()
    {
        switch (random.Next(9))
        {
            case 0 or 1 or 2:
                (int a, int b) = Operands('+');
                List<Exchange> sum = [new(AskSum(a, b, "plus", '+'), TellSum(a, b, '+'))];
                if (random.Chance(0.25) && !grammar.HeldOut)
                {
                    (int c, int before) = (random.Between(1, 10), a + b);
                    sum.Add(new(Pick($"And plus {c}?", $"Now add {c}.", $"Add {c} to that."), TellSum(before, c, '+')));
                }

                return sum;
            case 3 or 4:
                (a, b) = Operands('-');
                return [new(AskSum(a, b, "minus", '-'), TellSum(a, b, '-'))];
            case 5:
                (a, b) = Operands('*');
                return [new(AskSum(a, b, "times", '*'), TellSum(a, b, '*'))];
            case 6:
                (a, b) = (random.Between(2, 20), random.Between(1, 15));
                string name = PickName(), item = Pick("apples", "books", "cookies", "coins", "pears", "marbles", "eggs", "stamps");
                return random.Chance(0.5)
                    ? [new($"{name} has {a} {item} and gets {b} more. How many {item} does {name} have now?", $"{a} + {b} = {a + b}, so {name} has {a + b} {item}.")]
                    : [new($"{name} has {a + b} {item} and gives away {b}. How many {item} are left?", $"{a + b} - {b} = {a}, so {a} {item} are left.")];
            case 7:
                a = random.Between(0, 99);
                b = (a + random.Between(1, 99)) % 100;
                bool larger = random.Chance(0.5);
                string adjective = larger ? Pick("larger", "bigger", "greater") : "smaller";
                int right = larger ? Math.Max(a, b) : Math.Min(a, b), wrong = larger ? Math.Min(a, b) : Math.Max(a, b);
                return [new(Pick($"Which is {adjective}, {a} or {b}?", $"Which number is {adjective}: {a} or {b}?"), Pick($"{right} is {adjective} than {wrong}.", $"{right} is {adjective}."))];
            default:
                int[] numbers = [random.Between(0, 99), random.Between(0, 99), random.Between(0, 99)];
                bool up = random.Chance(0.6);
                int[] sorted = up ? [.. numbers.Order()] : [.. numbers.OrderDescending()];
                return [new($"Sort these numbers from {(up ? "small to large" : "large to small")}: {string.Join(", ", numbers)}.", string.Join(", ", sorted) + ".")];
        }

        string AskSum(int x, int y, string word, char sign) => Pick($"What is {x} {word} {y}?", $"What is {x} {sign} {y}?", $"{x} {sign} {y}", $"{x} {sign} {y} = ?", $"How much is {x} {word} {y}?", $"Calculate {x} {sign} {y}.", $"What's {x} {word} {y}?");
    }

    /// <summary>A page of worked sums, as plain text.</summary>
    public string SumsPage() => string.Join('\n', Enumerable.Range(0, random.Between(4, 16)).Select(_ =>
    {
        char sign = random.Pick<char>(['+', '+', '-', '-', '*']);
        (int a, int b) = Operands(sign);
        return TellSum(a, b, sign);
    }));

    /// <summary>The sum with its result last, in steps where both numbers have two digits.</summary>
    internal static string TellSum(int a, int b, char sign)
    {
        int result = sign switch { '+' => a + b, '-' => a - b, _ => a * b };
        (int tens, int ones) = (b / 10 * 10, b % 10);
        if (sign is '+' or '-' && a >= 10 && tens > 0 && ones > 0)
        {
            int partly = sign == '+' ? a + tens : a - tens;
            return $"{a} {sign} {b} = {a} {sign} {tens} {sign} {ones} = {partly} {sign} {ones} = {result}.";
        }

        (tens, ones) = (a / 10 * 10, a % 10);
        return sign == '*' && tens > 0 && ones > 0 && b > 1
            ? $"{a} * {b} = {tens} * {b} + {ones} * {b} = {tens * b} + {ones * b} = {result}."
            : $"{a} {sign} {b} = {result}.";
    }

    // Numbers of a sum that belongs to the grammar's split; 2 + 3 and 3 + 2 always to the same.
    private (int A, int B) Operands(char sign)
    {
        while (true)
        {
            int a = random.Chance(0.35) ? random.Between(0, 20) : random.Between(0, 99), b = random.Chance(0.35) ? random.Between(0, 20) : random.Between(0, 99);
            if (sign == '*')
            {
                (a, b) = random.Chance(0.7) ? (random.Between(0, 12), random.Between(0, 12)) : (random.Between(11, 99), random.Between(2, 9));
            }

            (int low, int high) = (Math.Min(a, b), Math.Max(a, b));
            if (HeldOut.Contains($"{low} {sign} {high}", HeldOut.OneQuestionIn) == grammar.HeldOut)
            {
                return sign == '-' ? (high, low) : (a, b);
            }
        }
    }
}
